// What the annotations of a pod ask for. A value that cannot be read refuses the pod: whoever wrote it wanted something, and
// a pod that runs as if nothing had been written would do something else, in silence.

import { isIP } from "node:net";
import { checkAddressRange } from "../../config/address-range.ts";
import type { Malformed } from "../../routing/endpoint-name.ts";
import type { Finding } from "../../routing/finding.ts";
import { checkKey, checkTargetName } from "../../routing/names.ts";
import { nearest } from "../../routing/nearest.ts";
import type { ListenerProtocol, LogLevel } from "../../config/proxy-config.ts";
import { INJECTED, LISTENERS_MAX, PREFIX, PROXY_CONFIG, SKIPPED, isOutboundListener } from "../../kube/injected-pod.ts";
import { quantity } from "../../config/quantity.ts";
import type { Pod } from "./pod.ts";

/** A port by number, or by the name that a container gives it. */
export type PortReference = number | string;

/** What a pod asks for; what is absent is left to the cluster's defaults. */
export interface PodSettings {
  readonly service?: string;
  readonly sandbox?: string;
  readonly stamp?: string;
  readonly ports?: readonly PortReference[];
  readonly excludeInboundPorts: readonly PortReference[];
  readonly excludeInboundRanges: readonly string[];
  readonly outboundPorts: readonly number[];
  readonly excludeOutboundRanges: readonly string[];
  /** For all ports, or by port. */
  readonly protocol?: ListenerProtocol | ReadonlyMap<number, ListenerProtocol>;
  readonly targetHost: string;
  readonly interception?: "redirect" | "named-ports";
  readonly nativeSidecar?: boolean;
  readonly image?: string;
  readonly logLevel?: LogLevel;
  readonly cpuRequest?: string;
  readonly cpuLimit?: string;
  readonly memoryRequest?: string;
  readonly memoryLimit?: string;
  readonly onUnknownKey?: "baseline" | "reject";
  readonly onUnavailable?: "fail" | "baseline";
}

/** `problems` are sentences, one for each annotation that cannot be read; then `settings` mean nothing. */
export interface ReadSettings {
  readonly settings: PodSettings;
  readonly problems: readonly string[];
  readonly warnings: readonly string[];
}

/** Annotations of pods by what people write them for, in the order of the documentation. */
export const podAnnotations = {
  inject: "`true` or `false`; also as a label. `false` wins, wherever it stands",
  service: "service that the pod is part of, as `name` or `name.namespace`",
  ports: "ports that requests come in at, as `8080,grpc`: numbers, or names of container ports",
  "exclude-inbound-ports": "ports that are left alone",
  "exclude-inbound-ranges": "callers that go past the sidecar, as `10.0.0.0/8,fd00::/8`",
  "outbound-ports": "ports of other services whose requests go out through the sidecar, as `80,8080`; HTTP only",
  "exclude-outbound-ranges": "destinations that are reached without it",
  protocol: "`auto`, `http1`, `http2` or `tcp`, or by port: `8080=http1,9090=tcp`",
  "target-host": "address on which the app listens",
  interception: "`redirect` or `named-ports`",
  "native-sidecar": "`true`: an init container that stays; `false`: an ordinary container",
  image: "image of the sidecar; the container that lays the rules keeps the cluster's",
  "log-level": "`debug`, `info`, `warn` or `error`",
  "cpu-request": "CPU that the sidecar is promised",
  "cpu-limit": "CPU that it may use at most; `none` for no limit",
  "memory-request": "memory that it is promised",
  "memory-limit": "memory that it may use at most; `none` for no limit",
  "on-unknown-key": "`baseline` or `reject`",
  "on-unavailable": "`fail` or `baseline`",
  sandbox: "sandbox that this copy belongs to, as `pr-7.shop`; the operator writes it",
  stamp: "routing key of everything that the pod sends; the operator writes it",
} as const satisfies Readonly<Record<string, string>>;

type AnnotationName = keyof typeof podAnnotations;

/** Written by Sidelane itself, on pods or on what makes them. */
const OTHERS = new Set([INJECTED, PROXY_CONFIG, SKIPPED, `${PREFIX}injection`, `${PREFIX}fork`, `${PREFIX}namespace`]);

/** Reads the annotations of a pod. */
export function readSettings({ metadata }: Pod): ReadSettings {
  const annotations = metadata?.annotations ?? {};
  const problems: string[] = [];
  const read = <T>(name: AnnotationName, parse: (text: string) => T | Wrong): T | undefined => {
    const text = annotations[PREFIX + name]?.trim();
    // A template that had nothing to fill in.
    if (text === undefined || text === "") return undefined;
    const value = parse(text);
    if (!(value instanceof Wrong)) return value;
    problems.push(`annotation ${PREFIX}${name}: ${JSON.stringify(text.slice(0, 80))} ${value.what}`);
    return undefined;
  };
  const settings = {
    excludeInboundPorts: read("exclude-inbound-ports", portReferences) ?? [],
    excludeInboundRanges: read("exclude-inbound-ranges", ranges) ?? [],
    outboundPorts: read("outbound-ports", outboundPorts) ?? [],
    excludeOutboundRanges: read("exclude-outbound-ranges", ranges) ?? [],
    targetHost: read("target-host", targetHost) ?? "127.0.0.1",
    ...given("service", read("service", serviceName)),
    ...given("sandbox", read("sandbox", checked(checkTargetName))),
    ...given("stamp", read("stamp", checked(checkKey))),
    ...given("ports", read("ports", portReferences)),
    ...given("protocol", read("protocol", protocol)),
    ...given("interception", read("interception", oneOf("redirect", "named-ports"))),
    ...given("nativeSidecar", read("native-sidecar", truth)),
    ...given("image", read("image", image)),
    ...given("logLevel", read("log-level", oneOf("debug", "info", "warn", "error"))),
    ...given("cpuRequest", read("cpu-request", amount("100m"))),
    ...given("cpuLimit", read("cpu-limit", amountOrNone("500m"))),
    ...given("memoryRequest", read("memory-request", amount("64Mi"))),
    ...given("memoryLimit", read("memory-limit", amountOrNone("256Mi"))),
    ...given("onUnknownKey", read("on-unknown-key", oneOf("baseline", "reject"))),
    ...given("onUnavailable", read("on-unavailable", oneOf("fail", "baseline"))),
  } as PodSettings;
  if (settings.sandbox !== undefined && settings.service === undefined && problems.length === 0) {
    problems.push(
      `annotation ${PREFIX}sandbox: a copy that belongs to a sandbox has to say of which service; add ${PREFIX}service: "name.namespace"`,
    );
  }
  return { settings, problems, warnings: unknownAnnotations(Object.keys(annotations)) };
}

/** A copy that belongs to a sandbox is nothing without its sidecar. */
const OF_SANDBOXES = [`${PREFIX}sandbox`, `${PREFIX}stamp`];

/** What a pod says about injection itself, as a label or an annotation; a "false" wins. */
export function wish({ metadata }: Pod): "in" | "out" | "unreadable" | undefined {
  const name = `${PREFIX}inject`;
  const texts = [metadata?.labels?.[name], metadata?.annotations?.[name]].flatMap((text) => text?.trim() || []);
  if (texts.includes("false")) return "out";
  if (texts.length === 0)
    return OF_SANDBOXES.some((own) => metadata?.annotations?.[own] !== undefined) ? "in" : undefined;
  return texts.every((text) => text === "true") ? "in" : "unreadable";
}

function unknownAnnotations(names: readonly string[]): readonly string[] {
  const known = Object.keys(podAnnotations).map((name) => PREFIX + name);
  return names
    .filter((name) => name.startsWith(PREFIX) && !known.includes(name) && !OTHERS.has(name))
    .toSorted()
    .map((name) => {
      const guess = nearest(name, known);
      return `annotation ${name.slice(0, 100)} means nothing to Sidelane${guess === undefined ? "; docs/injection.md lists those that do" : `; did you mean ${guess}?`}`;
    });
}

/** Why a text is no value: what follows it in a sentence. */
class Wrong {
  readonly what: string;

  constructor(what: string) {
    this.what = what;
  }
}

function given<K extends string, T>(name: K, value: T | undefined): { readonly [name in K]?: T } {
  return (value === undefined ? {} : { [name]: value }) as { readonly [name in K]?: T };
}

function list(text: string): readonly string[] {
  return [...new Set(text.split(",").map((part) => part.trim()))].filter((part) => part !== "");
}

function portNumber(text: string): number | undefined {
  const port = /^[0-9]{1,5}$/u.test(text) ? Number(text) : 0;
  return port >= 1 && port <= 65_535 ? port : undefined;
}

/** A container port's name as Kubernetes allows it (RFC 6335 §5.1). */
const PORT_NAME = /^(?=[a-z0-9-]{1,15}$)(?=[^a-z]*[a-z])[a-z0-9]+(?:-[a-z0-9]+)*$/u;

function portReferences(text: string): readonly PortReference[] | Wrong {
  const found: PortReference[] = [];
  for (const part of list(text)) {
    const port = portNumber(part) ?? (PORT_NAME.test(part) ? part : undefined);
    if (port === undefined) return new Wrong("is not a list of ports; write numbers or names, as in 8080,grpc");
    found.push(port);
  }
  if (found.length > LISTENERS_MAX) return new Wrong(`has more than ${LISTENERS_MAX} ports`);
  return found;
}

function outboundPorts(text: string): readonly number[] | Wrong {
  const found: number[] = [];
  for (const part of list(text)) {
    const port = portNumber(part);
    if (port === undefined) return new Wrong("is not a list of port numbers; write them as in 80,8080");
    if (isOutboundListener(port)) return new Wrong(`has ${port}, at which the sidecar itself may listen; leave it out`);
    found.push(port);
  }
  if (found.length > LISTENERS_MAX) return new Wrong(`has more than ${LISTENERS_MAX} ports`);
  return found.toSorted((a, b) => a - b);
}

function ranges(text: string): readonly string[] | Wrong {
  const problems: Finding[] = [];
  for (const part of list(text)) checkAddressRange(part, [], { problems, warnings: [], resolvePath: (path) => path });
  const [first] = problems;
  if (first === undefined) return list(text);
  const { message, why, hint } = first;
  return new Wrong(
    `is not a list of address ranges: ${[message, why, hint].filter((one) => one !== undefined).join(", ")}`,
  );
}

function serviceName(text: string): string | Wrong {
  return /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)?$/u.test(text) && text.length <= 127
    ? text
    : new Wrong("is not a service; write name or name.namespace, as in checkout.shop");
}

function checked(check: (text: string) => Malformed | undefined) {
  return (text: string): string | Wrong => {
    const wrong = check(text);
    return wrong === undefined ? text : new Wrong(`cannot be used: ${wrong.problem}; ${wrong.hint}`);
  };
}

const protocols = ["auto", "http1", "http2", "tcp"] as const satisfies readonly ListenerProtocol[];

function protocol(text: string): PodSettings["protocol"] | Wrong {
  const one = (name: string): ListenerProtocol | undefined => protocols.find((known) => known === name);
  const forAll = one(text);
  if (forAll !== undefined) return forAll;
  const byPort = new Map<number, ListenerProtocol>();
  for (const part of list(text)) {
    const [left = "", right = "", ...more] = part.split("=").map((side) => side.trim());
    const [port, name] = [portNumber(left), one(right)];
    if (port === undefined || name === undefined || more.length > 0) {
      return new Wrong(`is not a protocol; write ${protocols.join(", ")}, or by port as in 8080=http1,9090=tcp`);
    }
    byPort.set(port, name);
  }
  return byPort;
}

function targetHost(text: string): string | Wrong {
  return isIP(text) > 0 && !text.includes("%") ? text : new Wrong("is not an IP address; write one, as in 127.0.0.1");
}

function oneOf<const T extends string>(...values: readonly T[]) {
  return (text: string): T | Wrong =>
    values.find((value) => value === text) ?? new Wrong(`is none of ${values.join(", ")}`);
}

function truth(text: string): boolean | Wrong {
  return text === "true" || text === "false" ? text === "true" : new Wrong("is neither true nor false");
}

function image(text: string): string | Wrong {
  return /^[\w.:/@-]{1,400}$/u.test(text) ? text : new Wrong("is not the name of an image");
}

function amount(example: string) {
  return (text: string): string | Wrong =>
    quantity(text) === undefined ? new Wrong(`is not a quantity; write one as ${example}`) : text;
}

function amountOrNone(example: string) {
  return (text: string): string | Wrong => (text === "none" ? text : amount(example)(text));
}
