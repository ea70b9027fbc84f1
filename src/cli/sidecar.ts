import { setImmediate as nextTurn } from "node:timers/promises";
import type { ConnectionsReport } from "../admin/backend.ts";
import { connectionsReport } from "./connections-report.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { startProxy } from "../proxy/start.ts";
import type { RunningProxy } from "../proxy/start.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { TableCell } from "../routing/table-cell.ts";
import { type PreloadedTable, TableFileSource } from "../table/file-source.ts";
import { AccessLog } from "../telemetry/access-log.ts";
import type { SpanRecorder } from "../telemetry/spans/recorder.ts";
import { Telemetry } from "../telemetry/metrics.ts";

/** The data plane of one process: table, proxy and numbers, wired together. */
export interface Sidecar {
  readonly cell: TableCell;
  readonly source: TableFileSource;
  readonly telemetry: Telemetry;
  readonly proxy: RunningProxy;
  connections(): ConnectionsReport;
  /** Lets running exchanges finish, at most as long as the config allows, then closes everything. */
  drain(): Promise<void>;
  /** Closes everything at once. */
  close(): Promise<void>;
}

/** For processes that share listeners. */
export interface SharedListeners {
  readonly reusePort: true;
  /** The same in all of them, so that a request that comes back is known in each. */
  readonly instanceId: string;
}

/** How a sidecar starts differently. */
export interface SidecarOptions {
  readonly shared?: SharedListeners;
  readonly preloaded?: PreloadedTable | undefined;
}

/** Starts it; rejects with a message for people when the table is bad or an address cannot be bound. */
export async function startSidecar(config: ProxyConfig, log: Log, options: SidecarOptions = {}): Promise<Sidecar> {
  const telemetry = new Telemetry({
    sandboxLabelsMax: config.limits.sandboxLabelsMax,
    grpcMethodLabelsMax: config.limits.grpcMethodLabelsMax,
    journalEntriesMax: config.limits.journalEntriesMax,
  });
  const { cell, source } = followTable(config, log, telemetry, options.preloaded);
  let accessLog: AccessLog | undefined;
  let spans: SpanRecorder | undefined;
  const closeRest = async (): Promise<void> => {
    await Promise.all([source.close(), accessLog?.close(), spans?.close()]);
    telemetry.close();
  };
  try {
    accessLog = openAccessLog(config, log);
    spans = await openSpans(config, log, telemetry);
    await source.start();
    const recorded = spans === undefined ? {} : { spans };
    const proxy = await startProxy(config, { cell, telemetry, accessLog, log, ...recorded, ...options.shared });
    const close = async (): Promise<void> => {
      await proxy.close();
      await closeRest();
    };
    return {
      cell,
      source,
      telemetry,
      proxy,
      connections: () => connectionsReport(proxy.connections(), proxy.addresses),
      async drain() {
        await proxy.drain();
        await close();
      },
      close,
    };
  } catch (error) {
    await closeRest();
    throw error;
  }
}

/** A cell that follows the config's table file once the source is started; numbers about it go to `telemetry`. */
export function followTable(
  config: ProxyConfig,
  log: Log,
  telemetry: Telemetry,
  preloaded?: PreloadedTable,
): { readonly cell: TableCell; readonly source: TableFileSource } {
  const cell = new TableCell();
  cell.onPublish((table) => {
    telemetry.tablePublished(table.version);
    warnOfLostService(config, table, log);
    warnOfUnknownTls(config, table, log);
    void forgetSandboxes(cell, table, telemetry);
  });
  const source = new TableFileSource(
    { file: config.table.file, pollMs: config.timeouts.tablePollMs, bytesMax: config.limits.tableBytesMax },
    { cell, log, onReload: (result) => telemetry.recordTableReload(result), preloaded },
  );
  return { cell, source };
}

/** A service or port that the table does not know is never chosen by any key, and nothing else would say so. */
function warnOfLostService({ service, listeners }: ProxyConfig, table: CompiledTable, log: Log): void {
  const id = table.serviceByName(service);
  if (id === -1) {
    if (listeners.every((listener) => listener.direction === "outbound")) return;
    log.warn("no key can reach this service: the table does not have it", {
      advice: "correct the config's `service`, or name it in the table's `services` or in a sandbox",
    });
    return;
  }
  for (const listener of listeners) {
    if (listener.direction !== "inbound" || table.servicePortByName(id, listener.port) !== -1) continue;
    log.warn("no key can reach this listener: the table does not have its port", {
      listener: listener.name,
      port: listener.port,
      ports: table.portNames(id).join(" "),
      advice: "set the listener's `port` to one of the service's ports",
    });
  }
}

/** TLS for a service that nothing is sent to is most likely a name misspelt, and the service meant is spoken to in plain text. */
function warnOfUnknownTls({ service, upstreamTls }: ProxyConfig, table: CompiledTable, log: Log): void {
  for (const name of Object.keys(upstreamTls)) {
    if (name === service || table.serviceByName(name) !== -1) continue;
    log.warn("upstreamTls names a service that the table does not have", {
      name,
      advice: "correct the name: what is not named here is spoken to without TLS",
    });
  }
}

/** Names read per turn of the event loop: about a tenth of a millisecond, so that a table of 100,000 stalls nobody. */
const NAMES_PER_TURN = 1000;

/** Frees the metric labels of sandboxes that the table no longer has. */
async function forgetSandboxes(cell: TableCell, table: CompiledTable, telemetry: Telemetry): Promise<void> {
  const names = new Set<string>();
  for (let target = 0; target < table.counts.sandboxes; target++) {
    if (target % NAMES_PER_TURN === 0) await nextTurn();
    if (cell.current !== table) return;
    names.add(table.targetName(target));
  }
  telemetry.retainSandboxes((sandbox) => names.has(sandbox));
}

function openAccessLog({ accessLog }: ProxyConfig, log: Log): AccessLog | undefined {
  if (!accessLog.enabled) return undefined;
  const { sample, errorsOnly, file } = accessLog;
  try {
    return new AccessLog({ enabled: true, sample, errorsOnly, log, ...(file === "-" ? {} : { file }) });
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error);
    throw new Error(`accessLog.file ${file} cannot be opened for appending: ${cause}`, { cause: error });
  }
}

async function openSpans(config: ProxyConfig, log: Log, telemetry: Telemetry): Promise<SpanRecorder | undefined> {
  if (config.spans === undefined) return undefined;
  const { SpanRecorder: Recorder } = await import("../telemetry/spans/recorder.ts");
  return new Recorder({
    endpoint: config.spans.endpoint,
    service: config.service,
    ...(config.sandbox === undefined ? {} : { sandbox: config.sandbox }),
    queuedMax: config.limits.spansQueuedMax,
    log,
    stats: telemetry.spans,
    // The flags of this process are not for the exporter.
    env: { ...process.env, NODE_OPTIONS: "" },
  });
}
