import { setImmediate as nextTurn } from "node:timers/promises";
import type { ConnectionsReport } from "../admin/backend.ts";
import { connectionsReport } from "./connections-report.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { SandboxUses } from "../proxy/endpoints/sandbox-uses.ts";
import { startProxy } from "../proxy/start.ts";
import type { RunningProxy } from "../proxy/start.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import { TableCell } from "../routing/table-cell.ts";
import { type PreloadedTable, TableFileSource } from "../table/file-source.ts";
import { AccessLog } from "../telemetry/access-log.ts";
import type { TableSource } from "../table/table-source.ts";
import type { SpanRecorder } from "../telemetry/spans/recorder.ts";
import { Telemetry } from "../telemetry/metrics.ts";

/** The data plane of one process: table, proxy and numbers, wired together. It serves once it is open. */
export interface Sidecar {
  readonly cell: TableCell;
  readonly source: TableSource;
  readonly telemetry: Telemetry;
  connections(): ConnectionsReport;
  /**
   * Waits for the first table, however long that takes, then opens the listeners; tells what they are bound to, by name. Rejects
   * with a message for people when the table is bad or an address cannot be bound, and after `close()`.
   */
  open(): Promise<ReadonlyMap<string, string>>;
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

/** Makes one; rejects with a message for people. */
export async function prepareSidecar(config: ProxyConfig, log: Log, options: SidecarOptions = {}): Promise<Sidecar> {
  const telemetry = new Telemetry({
    sandboxLabelsMax: config.limits.sandboxLabelsMax,
    grpcMethodLabelsMax: config.limits.grpcMethodLabelsMax,
    journalEntriesMax: config.limits.journalEntriesMax,
  });
  let proxy: RunningProxy | undefined;
  let closed = false;
  let accessLog: AccessLog | undefined;
  let spans: SpanRecorder | undefined;
  let followed: FollowedTable | undefined;
  const close = async (): Promise<void> => {
    closed = true;
    await proxy?.close();
    await Promise.all([followed?.source.close(), accessLog?.close(), spans?.close()]);
    telemetry.close();
  };
  try {
    followed = await followTable(config, log, telemetry, {
      preloaded: options.preloaded,
      routes: true,
      keeps: options.shared === undefined,
    });
    accessLog = openAccessLog(config, log);
    spans = await openSpans(config, log, telemetry);
  } catch (error) {
    await close();
    throw error;
  }
  const { cell, source, uses } = followed;
  const recorded = spans === undefined ? {} : { spans };
  const counted = uses === undefined ? {} : { uses };
  return {
    cell,
    source,
    telemetry,
    connections: () => (proxy === undefined ? NO_CONNECTIONS : connectionsReport(proxy.connections(), proxy.addresses)),
    async open() {
      await source.start();
      const started = await startProxy(config, {
        cell,
        telemetry,
        accessLog,
        log,
        ...recorded,
        ...counted,
        ...options.shared,
      });
      if (closed) {
        await started.close();
        throw new Error("stopped before the listeners were open");
      }
      proxy = started;
      followed.opened(started.addresses);
      return started.addresses;
    },
    async drain() {
      source.goodbye();
      await proxy?.drain();
      await close();
    },
    close,
  };
}

const NO_CONNECTIONS: ConnectionsReport = { listeners: [], endpoints: [], certificates: [], signingKeys: [] };

/** How a process follows the table. */
export interface FollowOptions {
  readonly preloaded?: PreloadedTable | undefined;
  /** Whether requests are routed by it here. */
  readonly routes: boolean;
  /** Whether this process writes the table that is kept for the next start. */
  readonly keeps: boolean;
}

/** A cell that follows the config's table once the source is started. */
export interface FollowedTable {
  readonly cell: TableCell;
  readonly source: TableSource;
  /** Where it is counted which sandboxes are in use; undefined when nobody wants to know. */
  readonly uses: SandboxUses | undefined;
  /** The listeners are open: listener name -> address as bound. */
  opened(addresses: ReadonlyMap<string, string>): void;
}

/** Numbers about the table go to `telemetry`. */
export async function followTable(
  config: ProxyConfig,
  log: Log,
  telemetry: Telemetry,
  options: FollowOptions,
): Promise<FollowedTable> {
  const cell = new TableCell();
  cell.onPublish((table) => {
    telemetry.tablePublished(table.version);
    warnOfLostService(config, table, log);
    warnOfUnknownTls(config, table, log);
    void forgetSandboxes(cell, table, telemetry);
  });
  if (config.table.file === undefined) {
    // gRPC and its messages are 15 MB: those pay who have a control plane.
    const { followControl } = await import("./follow-control.ts");
    return followControl(config, config.table, cell, log, telemetry, options);
  }
  const { preloaded } = options;
  const source = new TableFileSource(
    { file: config.table.file, pollMs: config.timeouts.tablePollMs, bytesMax: config.limits.tableBytesMax },
    { cell, log, onReload: (result) => telemetry.recordTableReload(result), preloaded },
  );
  return { cell, source, uses: undefined, opened: () => {} };
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
