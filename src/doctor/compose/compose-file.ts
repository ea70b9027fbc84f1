// What of a compose file concerns Sidelane: commands, mounts, names, networks. Docker and Podman read much more; what is not
// understood here is left alone and never held against anybody.

import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { parseDocument } from "yaml";
import { isMap } from "../../base/is-map.ts";
import { RefusedError } from "../../base/refused-error.ts";

export interface ComposeService {
  readonly name: string;
  /** Words of `command`; empty when there is none. */
  readonly command: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Names under which others find it: its own, its aliases, its container's. */
  readonly names: readonly string[];
  /** `default` where the file names none. */
  readonly networks: readonly string[];
  /** Ports that are published on the host, as they are written. */
  readonly published: readonly string[];
  readonly readOnly: boolean;
  /** The service whose network it shares, with `network_mode: service:NAME`. */
  readonly networkOf: string | undefined;
}

export interface Mount {
  /** Absolute path on the host; undefined: a volume, or nothing that is on this machine. */
  readonly hostPath: string | undefined;
  readonly path: string;
}

/** The services of these files, later ones laid over earlier ones. Throws `RefusedError`. */
export function readComposeFiles(files: readonly string[], environment: NodeJS.ProcessEnv): readonly ComposeService[] {
  const services = new Map<string, Readonly<Record<string, unknown>>>();
  for (const file of files) {
    for (const [name, service] of Object.entries(servicesIn(file, environment))) {
      services.set(name, { ...services.get(name), ...service });
    }
  }
  // As Compose does: paths are relative to the folder of the first file.
  const folder = dirname(resolve(files[0] ?? "."));
  return [...services].map(([name, service]) => composeService(name, service, folder));
}

function servicesIn(
  file: string,
  environment: NodeJS.ProcessEnv,
): Readonly<Record<string, Readonly<Record<string, unknown>>>> {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    throw new RefusedError(`${file}: cannot be read (${(error as Error).message}); name a compose file`);
  }
  const document = parseDocument(text, { merge: true });
  const [problem] = document.errors;
  if (problem !== undefined) throw new RefusedError(`${file}: is no YAML: ${problem.message.split("\n", 1)[0] ?? ""}`);
  let value: unknown;
  try {
    value = interpolate(document.toJS(), environment);
  } catch (error) {
    throw new RefusedError(`${file}: cannot be read: ${(error as Error).message}`);
  }
  const services = isMap(value) ? value["services"] : undefined;
  if (!isMap(services)) throw new RefusedError(`${file}: has no 'services'; name a compose file`);
  return Object.fromEntries(
    Object.entries(services).map(([name, service]) => [name, isMap(service) ? service : {}] as const),
  );
}

/** `$NAME`, `${NAME}` and `${NAME:-default}` in every string, as Compose fills them in; `$$` is a dollar. */
function interpolate(value: unknown, environment: NodeJS.ProcessEnv): unknown {
  if (typeof value === "string") {
    return value.replaceAll(
      /\$(?:(\$)|\{([A-Za-z_][A-Za-z0-9_]*)(?:(:?)-([^}]*))?[^}]*\}|([A-Za-z_][A-Za-z0-9_]*))/gu,
      (_all, dollar?: string, braced?: string, colon?: string, fallback?: string, plain?: string) => {
        if (dollar !== undefined) return "$";
        const given = environment[braced ?? plain ?? ""];
        const missing = given === undefined || (colon === ":" && given === "");
        return missing ? (fallback ?? "") : given;
      },
    );
  }
  if (Array.isArray(value)) return value.map((one) => interpolate(one, environment));
  if (!isMap(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, interpolate(one, environment)]));
}

function composeService(name: string, service: Readonly<Record<string, unknown>>, folder: string): ComposeService {
  const networks = service["networks"];
  const aliases = isMap(networks)
    ? Object.values(networks).flatMap((network) => (isMap(network) ? words(network["aliases"]) : []))
    : [];
  const mode = service["network_mode"];
  const networkNames = Array.isArray(networks) ? words(networks) : isMap(networks) ? Object.keys(networks) : [];
  return {
    name,
    command: words(service["command"]),
    environment: environmentOf(service["environment"]),
    mounts: list(service["volumes"]).map((volume) => mountOf(volume, folder)),
    names: [name, ...aliases, ...words(service["container_name"]), ...words(service["hostname"])],
    networks: networkNames.length === 0 ? ["default"] : networkNames,
    published: list(service["ports"]).map((port) => (isMap(port) ? String(port["published"] ?? "") : String(port))),
    readOnly: service["read_only"] === true,
    networkOf: typeof mode === "string" && mode.startsWith("service:") ? mode.slice("service:".length) : undefined,
  };
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? (value as readonly unknown[]) : [];
}

/** A list of words, or one string split at spaces as a shell without quotes would. */
function words(value: unknown): readonly string[] {
  if (typeof value === "string") return value.split(/\s+/u).filter((word) => word !== "");
  return list(value).map(String);
}

function environmentOf(value: unknown): Readonly<Record<string, string>> {
  if (isMap(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, String(one ?? "")]));
  }
  return Object.fromEntries(
    words(value).map((pair) => {
      const equals = pair.indexOf("=");
      return equals === -1 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
    }),
  );
}

function mountOf(volume: unknown, folder: string): Mount {
  if (isMap(volume)) {
    const source = String(volume["source"] ?? "");
    const isBind = volume["type"] === "bind";
    return { hostPath: isBind ? resolve(folder, source) : undefined, path: String(volume["target"] ?? "") };
  }
  const [source = "", target] = String(volume).split(":");
  if (target === undefined) return { hostPath: undefined, path: source };
  return { hostPath: /^[./~]/u.test(source) ? resolve(folder, source) : undefined, path: target };
}

/** Where a path in the container is on the host, or why that cannot be said. */
export function hostPathOf(
  service: ComposeService,
  path: string,
): { readonly hostPath: string } | { readonly why: "volume" | "image" } {
  const mounts = service.mounts
    .filter((mount) => path === mount.path || path.startsWith(`${mount.path.replace(/\/$/u, "")}/`))
    .toSorted((a, b) => b.path.length - a.path.length);
  const [mount] = mounts;
  if (mount === undefined) return { why: "image" };
  if (mount.hostPath === undefined) return { why: "volume" };
  return { hostPath: resolve(mount.hostPath, `.${path.slice(mount.path.replace(/\/$/u, "").length)}`) };
}
