// What one field of a proxy config says about another, and the spelling of names and addresses. The result has no optional
// corners left: the data plane never asks whether a field was given.

import { parseEndpoint } from "../routing/endpoint-name.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { checkName, checkTargetName } from "../routing/names.ts";
import { Addresses, isLoopbackHost, malformed, reachesItself, quote } from "./addresses.ts";
import { toTenancy } from "./check-tenancy.ts";
import { toListenerTls, toUpstreamTls } from "./check-tls.ts";
import type { CheckContext } from "./check-tls.ts";
import type { ListenEndpoint } from "./listen-address.ts";
import { toTableSource } from "./table-source.ts";
import type { AdminConfig, ListenerConfig, ProxyConfig, ProxyConfigDocument } from "./proxy-config.ts";

/** `config` is only meaningful when there are no problems. */
export interface CheckedConfig {
  readonly config: ProxyConfig;
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
}

type ListenerDocument = ProxyConfigDocument["listeners"][number];

/** `written` is the document before defaults were filled in; `resolvePath` makes paths of the file absolute. */
export function toProxyConfig(
  document: ProxyConfigDocument,
  written: unknown,
  resolvePath: (path: string) => string,
): CheckedConfig {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const context: CheckContext = { problems, warnings, resolvePath };
  checkNames(document, problems);
  const addresses = new Addresses(problems, { any: true });
  const listeners = document.listeners.map((listener, index) => toListener(listener, index, addresses, context));
  checkListenerNames(listeners, document, problems);
  const admin = addresses.claim(document.admin.address, ["admin", "address"], "the admin server");
  if (admin !== undefined && !isLoopbackHost(admin.host)) {
    warnings.push({
      place: valueAt("admin", "address"),
      message: `the admin server listens on ${admin.host}`,
      why: "whoever reaches it can read the table and drain the sidecar",
      hint: "write 127.0.0.1, or guard the port",
    });
  }
  checkOpenAdmin(document.admin, addresses, warnings);
  if (document.ownership !== undefined) {
    const place = ["ownership", "address"];
    const ownership = addresses.claim(document.ownership.address, place, "the ownership server");
    if (ownership !== undefined && !isLoopbackHost(ownership.host)) {
      warnings.push({
        place: valueAt(...place),
        message: `the ownership server listens on ${ownership.host}`,
        why: "whoever reaches it can read who owns which keys",
        hint: "write 127.0.0.1, or guard the port",
      });
    }
  }
  if (document.spans !== undefined) checkSpans(document.spans.endpoint, problems);
  const limits = checkLimits(document, written, problems);
  const { file } = document.accessLog;
  const config: ProxyConfig = {
    service: document.service,
    ...(document.sandbox === undefined ? {} : { sandbox: document.sandbox }),
    listeners,
    table: toTableSource(document.table, document, context),
    tenancy: toTenancy(document, isWritten(written, "tenancy", "repair"), listeners, context),
    upstreamTls: toUpstreamTls(document.upstreamTls, context),
    admin: toAdmin(document.admin),
    ...(document.ownership === undefined ? {} : { ownership: document.ownership }),
    ...(document.spans === undefined ? {} : { spans: document.spans }),
    limits,
    timeouts: document.timeouts,
    workers: document.workers,
    log: document.log,
    accessLog: { ...document.accessLog, file: file === "-" ? file : resolvePath(file) },
  };
  return { config, problems, warnings };
}

function checkOpenAdmin(
  { open, reach }: ProxyConfigDocument["admin"],
  addresses: Addresses,
  warnings: Finding[],
): void {
  if (open !== undefined) addresses.claim(open, ["admin", "open"], "the open admin server");
  else if (reach !== undefined) {
    warnings.push({
      place: nameAt("admin", "reach"),
      message: "admin.reach names ports that nobody can ask about",
      why: "GET /reach/tcp/PORT is answered at admin.open, and there is none",
      hint: 'add open: "*:15004", or remove it',
    });
  }
}

function toAdmin({ address, open, reach }: ProxyConfigDocument["admin"]): AdminConfig {
  return { address, ...(open === undefined ? {} : { open }), ...(reach === undefined ? {} : { reach }) };
}

function checkNames(document: ProxyConfigDocument, problems: Finding[]): void {
  const service = checkName(document.service);
  if (service !== undefined)
    problems.push(malformed(["service"], `${quote(document.service)} is not a service name`, service));
  if (document.sandbox === undefined) return;
  const sandbox = checkTargetName(document.sandbox);
  if (sandbox !== undefined)
    problems.push(malformed(["sandbox"], `${quote(document.sandbox)} is not a sandbox name`, sandbox));
}

function toListener(
  listener: ListenerDocument,
  index: number,
  addresses: Addresses,
  context: CheckContext,
): ListenerConfig {
  const { problems } = context;
  const path = ["listeners", index];
  const name = listener.name ?? listener.direction;
  const wrongName = checkName(name);
  if (wrongName !== undefined)
    problems.push(malformed([...path, "name"], `${quote(name)} is not a listener name`, wrongName));
  const tls = listener.tls === undefined ? undefined : toListenerTls(listener.tls, listener, name, path, context);
  const base = {
    name,
    address: listener.address,
    protocol: listener.protocol,
    ...(tls === undefined ? {} : { tls }),
  };
  const own = addresses.claim(listener.address, [...path, "address"], `listener ${name}`);
  if (listener.direction === "outbound") {
    checkOutbound(listener, name, path, problems);
    return { ...base, direction: "outbound", egress: listener.egress ?? "strip" };
  }
  checkInbound(listener, name, path, problems);
  if (listener.port !== undefined) {
    const wrongPort = checkName(listener.port);
    if (wrongPort !== undefined)
      problems.push(malformed([...path, "port"], `${quote(listener.port)} is not a port name`, wrongPort));
  }
  return {
    ...base,
    direction: "inbound",
    target: checkTarget(listener, name, path, own, problems),
    port: listener.port ?? "",
    edge: listener.edge ?? false,
  };
}

function checkInbound(listener: ListenerDocument, name: string, path: Path, problems: Finding[]): void {
  if (listener.egress !== undefined) {
    problems.push({
      place: nameAt(...path, "egress"),
      message: `listener ${name} is inbound and has egress`,
      why: "what comes in goes to the service, never to hosts outside the table",
      hint: "move it to the outbound listener",
    });
  }
  if (listener.edge === true && listener.protocol === "tcp") {
    problems.push({
      place: valueAt(...path, "edge"),
      other: valueAt(...path, "protocol"),
      message: `listener ${name} is an edge and takes plain TCP`,
      why: "only HTTP has routing keys that could be removed",
      hint: "remove it",
    });
  }
}

function checkOutbound(listener: ListenerDocument, name: string, path: Path, problems: Finding[]): void {
  if (listener.protocol === "tcp") {
    problems.push({
      place: valueAt(...path, "protocol"),
      message: `listener ${name} is outbound and takes plain TCP`,
      why: "only HTTP says which service it is meant for",
      hint: "write auto, and let the service connect to its TCP servers directly",
    });
  }
  if (listener.target !== undefined) {
    problems.push({
      place: nameAt(...path, "target"),
      message: `listener ${name} is outbound and has a target`,
      why: "outbound requests go where their authority says",
      hint: "remove it, or write direction: inbound",
    });
  }
  if (listener.edge !== undefined) {
    problems.push({
      place: nameAt(...path, "edge"),
      message: `listener ${name} is outbound and has edge`,
      why: "the world comes in through an inbound listener",
      hint: "move it there",
    });
  }
  if (listener.port !== undefined) {
    problems.push({
      place: nameAt(...path, "port"),
      message: `listener ${name} is outbound and has a port`,
      why: "outbound requests carry the port in their authority",
      hint: "remove it",
    });
  }
}

function checkTarget(
  listener: ListenerDocument,
  name: string,
  path: Path,
  own: ListenEndpoint | undefined,
  problems: Finding[],
): string {
  if (listener.target === undefined) {
    problems.push({
      place: valueAt(...path),
      message: `listener ${name} is inbound and has no target`,
      why: "the sidecar has to know where the app listens",
      hint: "add target: 127.0.0.1:8080",
    });
    return "";
  }
  const target = parseEndpoint(listener.target);
  if ("problem" in target) {
    problems.push(malformed([...path, "target"], `${quote(listener.target)} is not an endpoint`, target));
  } else if (own !== undefined && own.port === target.port && reachesItself(own.host, target.host)) {
    problems.push({
      place: valueAt(...path, "target"),
      other: valueAt(...path, "address"),
      message: `the target of listener ${name} is the listener itself`,
      why: "every request would come back for ever",
      hint: "write the port of the app",
    });
  }
  return listener.target;
}

function checkListenerNames(
  listeners: readonly ListenerConfig[],
  document: ProxyConfigDocument,
  problems: Finding[],
): void {
  const place = (index: number) =>
    document.listeners[index]?.name === undefined ? valueAt("listeners", index) : valueAt("listeners", index, "name");
  for (const [index, { name }] of listeners.entries()) {
    const first = listeners.findIndex((listener) => listener.name === name);
    if (first === index) continue;
    problems.push({
      place: place(index),
      other: place(first),
      message: `two listeners are called ${name}`,
      why: "names tell them apart in logs and metrics; without one, a listener is called by its direction",
      hint: `add name: ${name}-2`,
    });
  }
}

/** `uriBytesMax` cannot exceed the head it is part of; as a default it gives way, when written it is a contradiction. */
function checkLimits(document: ProxyConfigDocument, written: unknown, problems: Finding[]): ProxyConfig["limits"] {
  const { limits, timeouts } = document;
  if (limits.uriBytesMax > limits.headBytesMax && isWritten(written, "limits", "uriBytesMax")) {
    problems.push({
      place: valueAt("limits", "uriBytesMax"),
      other: valueAt("limits", "headBytesMax"),
      message: `limits.uriBytesMax is ${limits.uriBytesMax}, more than limits.headBytesMax, ${limits.headBytesMax}`,
      why: "the request target is part of the head",
      hint: `write at most ${limits.headBytesMax}`,
    });
  }
  if (timeouts.ejectBaseMs > timeouts.ejectMs) {
    const place = isWritten(written, "timeouts", "ejectBaseMs") ? "ejectBaseMs" : "ejectMs";
    problems.push({
      place: valueAt("timeouts", place),
      message: `timeouts.ejectBaseMs is ${timeouts.ejectBaseMs}, more than timeouts.ejectMs, ${timeouts.ejectMs}`,
      why: "the first ejection cannot be longer than the longest",
      hint: "write a smaller ejectBaseMs or a larger ejectMs",
    });
  }
  return { ...limits, uriBytesMax: Math.min(limits.uriBytesMax, limits.headBytesMax) };
}

/** OTLP/HTTP: the whole URL is in the config, path included, as in OTEL_EXPORTER_OTLP_TRACES_ENDPOINT. */
function checkSpans(endpoint: string, problems: Finding[]): void {
  const url = URL.parse(endpoint);
  const place = valueAt("spans", "endpoint");
  const hint = "write http://127.0.0.1:4318/v1/traces";
  if (url === null || url.hostname === "") {
    problems.push({ place, message: `${quote(endpoint)} is not a URL`, hint });
  } else if (url.username !== "" || url.password !== "") {
    url.username = "";
    url.password = "";
    const why = "GET /config shows them";
    const other = `write ${url.href}, and the credentials into the environment variable OTEL_EXPORTER_OTLP_HEADERS`;
    problems.push({ place, message: "spans.endpoint holds credentials", why, hint: other });
  } else if (url.protocol !== "http:" && url.protocol !== "https:") {
    problems.push({ place, message: `${quote(endpoint)} is not a URL of http or https`, hint });
  } else if (url.pathname === "/") {
    const why = "the path belongs to it; collectors take traces at /v1/traces";
    problems.push({ place, message: `${quote(endpoint)} has no path`, why, hint: `write ${url.origin}/v1/traces` });
  }
}

function isWritten(document: unknown, section: string, field: string): boolean {
  const fields = (document as Readonly<Record<string, unknown>>)[section];
  return typeof fields === "object" && fields !== null && Object.hasOwn(fields, field);
}
