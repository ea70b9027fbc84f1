// What the flags say about a resource, as a merge patch (RFC 7396): what is not given stays, null goes.

import type { Kind } from "../../control/resource.ts";
import { parseEndpoint } from "../../routing/endpoint-name.ts";
import { checkKey, checkName } from "../../routing/names.ts";
import { MisuseError } from "../command.ts";
import type { FlagValues } from "../command.ts";
import { parseDuration } from "../duration.ts";

type Patch = Record<string, unknown>;

/** `isUpdate`: things may be taken away, too. Throws a `MisuseError` that says what to write. */
export function patchFromFlags(kind: Kind, flags: FlagValues, isUpdate: boolean): Patch {
  const patch: Patch = {};
  const text = (flag: string, field: string): void => {
    const value = flags[flag];
    if (typeof value === "string") patch[field] = value;
  };
  text("owner", "owner");
  text("description", "description");
  const labels = readLabels(listOf(flags, "label"), isUpdate);
  if (labels !== undefined) patch["labels"] = labels;
  switch (kind) {
    case "sandbox":
      return { ...patch, ...sandboxPatch(flags, isUpdate) };
    case "group":
      return { ...patch, ...groupPatch(flags, isUpdate) };
    case "service":
      return { ...patch, ...servicePatch(flags, isUpdate) };
  }
}

function sandboxPatch(flags: FlagValues, isUpdate: boolean): Patch {
  const patch: Patch = keyPatch(flags);
  if (flags["strict"] === true) patch["strict"] = true;
  if (flags["notStrict"] === true) patch["strict"] = isUpdate ? null : false;
  if (flags["strict"] === true && flags["notStrict"] === true) {
    throw new MisuseError("error: --strict and --not-strict contradict each other, give one of them");
  }
  const { ttl } = flags;
  if (ttl === "none") patch["ttl"] = null;
  else if (typeof ttl === "string") {
    parseDuration(ttl, "--ttl", "4h");
    patch["ttl"] = ttl;
  }
  if (typeof flags["ttlFrom"] === "string") patch["ttlFrom"] = flags["ttlFrom"];
  if (typeof flags["whenDisconnected"] === "string") patch["whenDisconnected"] = flags["whenDisconnected"];
  const services = readServices(listOf(flags, "service"), isUpdate);
  if (services !== undefined) patch["services"] = services;
  return patch;
}

function groupPatch(flags: FlagValues, isUpdate: boolean): Patch {
  const patch: Patch = keyPatch(flags);
  const sandboxes = listOf(flags, "sandbox").flatMap((text) => text.split(","));
  const all = readWanted(listOf(flags, "matchAll"), "--match-all");
  const any = readWanted(listOf(flags, "matchAny"), "--match-any");
  if (sandboxes.length > 0 && (all ?? any) !== undefined) {
    throw new MisuseError(
      "error: a group has either --sandbox, in order, or --match-all and --match-any, give one of them",
    );
  }
  if (sandboxes.length > 0) {
    patch["sandboxes"] = sandboxes.map((name) => named(name, "--sandbox", "pr-7"));
    if (isUpdate) patch["match"] = null;
  }
  if ((all ?? any) !== undefined) {
    patch["match"] = { ...(all === undefined ? {} : { all }), ...(any === undefined ? {} : { any }) };
    if (isUpdate) patch["sandboxes"] = null;
  }
  return patch;
}

function servicePatch(flags: FlagValues, isUpdate: boolean): Patch {
  const patch: Patch = {};
  const hosts = listOf(flags, "host").flatMap((text) => text.split(","));
  if (hosts.length > 0) patch["hosts"] = hosts;
  const ports = listOf(flags, "port");
  if (ports.length > 0) patch["ports"] = Object.fromEntries(ports.map(readPort));
  const baseline = listOf(flags, "baseline");
  if (baseline.length > 0) patch["baseline"] = readBaseline(baseline);
  const protocol = flags["probe"];
  const path = flags["probePath"];
  if (typeof protocol === "string" || typeof path === "string") {
    patch["probe"] = {
      // A probe is whole or not there; an update keeps what it has.
      ...(typeof protocol === "string" ? { protocol } : isUpdate ? {} : { protocol: "auto" }),
      ...(typeof path === "string" ? { path } : isUpdate ? {} : { path: "/" }),
    };
  }
  return patch;
}

function keyPatch(flags: FlagValues): Patch {
  const { key } = flags;
  if (typeof key !== "string") return {};
  const malformed = checkKey(key);
  if (malformed !== undefined) throw new MisuseError(`error: --key '${key}': ${malformed.problem}, ${malformed.hint}`);
  return { key };
}

/** `checkout=10.0.0.7:8080`, `ledger:grpc=10.0.0.8:9090`, `checkout-`. */
function readServices(texts: readonly string[], isUpdate: boolean): Patch | undefined {
  if (texts.length === 0) return undefined;
  const services = new Map<string, string[] | Map<string, string[]> | null>();
  for (const text of texts) {
    const [, removed] = /^([^=:]+)-$/u.exec(text) ?? [];
    if (removed !== undefined) {
      if (!isUpdate) {
        throw new MisuseError(
          `error: --service '${text}' takes a service away, and a new sandbox has none; write ${removed}=host:port`,
        );
      }
      services.set(named(removed, "--service", "checkout-"), null);
      continue;
    }
    const [, service, port, list] = /^([^=:]+)(?::([^=:]+))?=(.+)$/su.exec(text) ?? [];
    if (service === undefined || list === undefined) {
      throw new MisuseError(
        `error: --service '${text}' is no service with its endpoint, write it as checkout=10.0.0.7:8080, ` +
          "or with a port of the service as ledger:grpc=10.0.0.8:9090",
      );
    }
    named(service, "--service", "checkout=10.0.0.7:8080");
    const endpoints = list.split(",").map((one) => endpointIn(one, "--service", text));
    const before = services.get(service);
    if (before === null)
      throw new MisuseError(
        `error: --service '${service}-' and --service '${text}' contradict each other, give one of them`,
      );
    if (port === undefined) {
      if (before instanceof Map) throw mixed(service);
      services.set(service, [...(before ?? []), ...endpoints]);
    } else {
      if (Array.isArray(before)) throw mixed(service);
      const ports = before ?? new Map<string, string[]>();
      ports.set(port, [...(ports.get(port) ?? []), ...endpoints]);
      services.set(service, ports);
    }
  }
  return Object.fromEntries(
    [...services].map(([name, value]) => [name, value instanceof Map ? Object.fromEntries(value) : value]),
  );
}

function mixed(service: string): MisuseError {
  return new MisuseError(
    `error: --service ${service} is given once with and once without a port, write all of them as ${service}:http=host:port, ` +
      "or none where the service has one port",
  );
}

/** `10.0.0.1:8080`, or with ports `http=10.0.0.1:8080`. */
function readBaseline(texts: readonly string[]): readonly string[] | Readonly<Record<string, readonly string[]>> {
  const plain: string[] = [];
  const byPort = new Map<string, string[]>();
  for (const text of texts) {
    const [, port, list = text] = /^([^=]+)=(.*)$/su.exec(text) ?? [];
    const endpoints = list.split(",").map((one) => endpointIn(one, "--baseline", text));
    if (port === undefined) plain.push(...endpoints);
    else byPort.set(port, [...(byPort.get(port) ?? []), ...endpoints]);
  }
  if (plain.length > 0 && byPort.size > 0) {
    throw new MisuseError(
      "error: --baseline is given with and without a port, write all of them as http=host:port, or none",
    );
  }
  return byPort.size > 0 ? Object.fromEntries(byPort) : plain;
}

function readPort(text: string): readonly [name: string, number: number] {
  const [, name, digits] = /^([^=]+)=([0-9]{1,5})$/u.exec(text) ?? [];
  const number = Number(digits);
  if (name === undefined || number < 1 || number > 65_535) {
    throw new MisuseError(`error: --port '${text}' is no port with its number, write it as grpc=9090`);
  }
  return [name, number];
}

/** `team=a`; `team-` takes it away, where there can be something to take. */
function readLabels(
  texts: readonly string[],
  isUpdate: boolean,
  flag = "--label",
): Readonly<Record<string, string | null>> | undefined {
  if (texts.length === 0) return undefined;
  const labels = texts.map((text): readonly [string, string | null] => {
    const at = text.indexOf("=");
    if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
    if (isUpdate && at === -1 && /^[^-].*-$/u.test(text)) return [text.slice(0, -1), null];
    throw new MisuseError(
      `error: ${flag} '${text}' is no label, write it as team=a${isUpdate ? ", or as team- to take it away" : ""}`,
    );
  });
  const names = labels.map(([name]) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new MisuseError(`error: ${flag} has ${twice} twice, and a label has one value`);
  return Object.fromEntries(labels);
}

/** Labels that a group asks for; several values of one label are a list. */
function readWanted(
  texts: readonly string[],
  flag: string,
): Readonly<Record<string, string | readonly string[]>> | undefined {
  if (texts.length === 0) return undefined;
  const wanted = new Map<string, string[]>();
  for (const text of texts) {
    for (const [label, value] of Object.entries(readLabels([text], false, flag) ?? {})) {
      if (value !== null) wanted.set(label, [...(wanted.get(label) ?? []), value]);
    }
  }
  return Object.fromEntries(
    [...wanted].map(([label, values]) => [label, values.length === 1 ? (values[0] ?? "") : values]),
  );
}

/** Checks labels that a list is filtered by, `team=a` or `team` for any value; returns them as they are. */
export function readLabelFilters(texts: readonly string[]): readonly string[] {
  readLabels(
    texts.filter((text) => text.includes("=") || text === ""),
    false,
  );
  return texts;
}

function endpointIn(text: string, flag: string, whole: string): string {
  const endpoint = parseEndpoint(text);
  if ("problem" in endpoint) {
    throw new MisuseError(`error: ${flag} '${whole}': '${text}' is no endpoint: ${endpoint.problem}, ${endpoint.hint}`);
  }
  return text;
}

function named(name: string, flag: string, example: string): string {
  const malformed = checkName(name);
  if (malformed === undefined) return name;
  throw new MisuseError(`error: ${flag} '${name}': ${malformed.problem}, write it as in ${example}`);
}

/** The values of a flag that may be repeated. */
export function listOf(flags: FlagValues, name: string): readonly string[] {
  const value = flags[name];
  return Array.isArray(value) ? value : [];
}
