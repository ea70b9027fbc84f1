import { RefusedError } from "../base/refused-error.ts";
import { statSync } from "node:fs";
import { relative } from "node:path";
import { loadTable } from "../config/load-table.ts";
import { toProblems } from "../config/problem.ts";
import type { Problem } from "../config/problem.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { SourceMap } from "../config/yaml.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import { nearest } from "../routing/nearest.ts";
import { readFile } from "./read-file.ts";

/** What a config and the table it names say about each other. `problems` are the table's own. */
export interface OwnTable {
  readonly problems: readonly Problem[];
  readonly warnings: readonly Problem[];
}

/**
 * Compares a good config with its table, when that is a file. One that is not there only draws a warning: it may be mounted later.
 */
export function checkOwnTable(config: ProxyConfig, source: SourceMap): OwnTable {
  const { file: path } = config.table;
  if (path === undefined) return { problems: [], warnings: [] };
  const inside = relative("", path);
  const file = inside === "" || inside.startsWith("..") ? path : inside;
  let content: Buffer;
  try {
    // Reading a pipe would wait for its writer.
    if (statSync(file, { throwIfNoEntry: false })?.isFile() === false) throw new RefusedError(`${file}: not a file`);
    content = readFile(file);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const why = "so the config was not compared with its table";
    return {
      problems: [],
      warnings: toProblems([{ place: valueAt("table", "file"), message: `table.file ${message}`, why }], source),
    };
  }
  const result = loadTable(content, file);
  if (!result.ok) return { problems: result.problems, warnings: [] };
  const table = new CompiledTable(result.image, 1, result.digest);
  return {
    problems: [],
    warnings: toProblems(
      [...lostService(config, table, file), ...unknownStamp(config, table, file), ...unknownTls(config, table, file)],
      source,
    ),
  };
}

/** A workload that is stamped with a key that selects nothing. */
function* unknownStamp({ tenancy }: ProxyConfig, table: CompiledTable, file: string): Generator<Finding> {
  if (tenancy.stamp === undefined) return;
  const key = Buffer.from(tenancy.stamp);
  if (table.findTarget(key, 0, key.length) !== -1) return;
  const keys = Array.from({ length: table.targetCount }, (_, target) => table.targetKey(target));
  const guess = nearest(tenancy.stamp, keys);
  yield {
    place: valueAt("tenancy", "stamp"),
    message: `no sandbox or group of ${file} has the key ${tenancy.stamp}`,
    why: tenancy.onUnknownKey === "reject" ? "what is stamped with it is refused" : "the baseline answers all of it",
    hint: guess === undefined ? "add the sandbox, or remove it" : `did you mean ${guess}?`,
  };
}

/** TLS for a service that nothing is sent to. */
function* unknownTls({ service, upstreamTls }: ProxyConfig, table: CompiledTable, file: string): Generator<Finding> {
  for (const name of Object.keys(upstreamTls)) {
    if (name === service || table.serviceByName(name) !== -1) continue;
    const names = Array.from({ length: table.counts.services }, (_, index) => table.serviceName(index));
    const guess = nearest(name, [service, ...names]);
    yield {
      place: nameAt("upstreamTls", name),
      message: `service ${name} is not in ${file}`,
      why: "nothing is sent to it, with or without TLS",
      hint: guess === undefined ? "write the name of a service of the table" : `did you mean ${guess}?`,
    };
  }
}

/** Like the sidecar's own warning: no key can choose what the table does not know. Outbound listeners do not need it. */
function* lostService({ service, listeners }: ProxyConfig, table: CompiledTable, file: string): Generator<Finding> {
  if (listeners.every(({ direction }) => direction === "outbound")) return;
  const id = table.serviceByName(service);
  if (id === -1) {
    const names = Array.from({ length: table.counts.services }, (_, index) => table.serviceName(index));
    const guess = nearest(service, names);
    yield {
      place: valueAt("service"),
      message: `service ${service} is not in ${file}`,
      why: "no key can reach it",
      hint: guess === undefined ? "add it to the table's services or to a sandbox" : `did you mean ${guess}?`,
    };
    return;
  }
  const ports = table.portNames(id); // an only port without a name takes any
  for (const [index, listener] of listeners.entries()) {
    if (listener.direction !== "inbound" || table.servicePortByName(id, listener.port) !== -1) continue;
    const given = listener.port === "" ? "no port" : `port ${listener.port}`;
    const guess = nearest(listener.port, ports) ?? ports[0] ?? "";
    yield {
      place: listener.port === "" ? valueAt("listeners", index) : valueAt("listeners", index, "port"),
      message: `listener ${listener.name} has ${given}, and in ${file} service ${service} has the ports ${ports.join(", ")}`,
      why: "no key can reach it",
      hint: `write port: ${guess}`,
    };
  }
}
