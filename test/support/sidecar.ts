// A whole data plane inside the test's process: the config as a user writes it, the table as a file holds it.
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, onTestFinished } from "vitest";
import { type Log, silentLog } from "../../src/base/log.ts";
import type { Limits, Timeouts } from "../../src/base/limits.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import type { ProxyConfig } from "../../src/config/proxy-config.ts";
import { loadTable } from "../../src/config/load-table.ts";
import { type RunningProxy, startProxy } from "../../src/proxy/start.ts";
import { CompiledTable } from "../../src/routing/compiled-table.ts";
import { TableCell } from "../../src/routing/table-cell.ts";
import { AccessLog } from "../../src/telemetry/access-log.ts";
import { Telemetry } from "../../src/telemetry/metrics.ts";
import { SpanRecorder } from "../../src/telemetry/spans/recorder.ts";
import { type Backend, startBackend } from "./backend.ts";
import { Peer } from "./peer.ts";

/** A sidecar as a test asks for it; everything left out is the product's default. */
export interface SidecarOptions {
  /** Default: one inbound listener of that name before `target`. */
  readonly listeners?: readonly object[];
  readonly target?: string;
  readonly service?: string;
  readonly sandbox?: string;
  /** Content of the table file as a document. */
  readonly table?: object;
  readonly tenancy?: object;
  readonly upstreamTls?: object;
  readonly limits?: Partial<Limits>;
  readonly timeouts?: Partial<Timeouts>;
  readonly nativeWrites?: boolean;
  readonly accessLog?: boolean;
  readonly instanceId?: string;
  /** Where spans go; default: there are none. */
  readonly spans?: { readonly endpoint: string };
  /** The process log; default: nowhere. */
  readonly log?: Log;
}

/** A running data plane. */
export class Sidecar {
  readonly telemetry: Telemetry;
  readonly proxy: RunningProxy;
  readonly #cell: TableCell;
  readonly #accessLog: AccessLog | undefined;
  readonly #logFile: string;
  #version = 0;
  #closed: Promise<void> | undefined;

  constructor(
    proxy: RunningProxy,
    telemetry: Telemetry,
    cell: TableCell,
    accessLog: AccessLog | undefined,
    logFile: string,
  ) {
    this.proxy = proxy;
    this.telemetry = telemetry;
    this.#cell = cell;
    this.#accessLog = accessLog;
    this.#logFile = logFile;
    this.#version = cell.current.version;
  }

  /** Port that a listener is bound to. */
  port(listener = "inbound"): number {
    const address = this.proxy.addresses.get(listener) ?? "";
    return Number(address.slice(address.lastIndexOf(":") + 1));
  }

  /** A client of a listener; closed when the test is over. */
  async connect(listener = "inbound"): Promise<Peer> {
    const peer = await Peer.connect(this.port(listener));
    onTestFinished(() => void peer.socket.destroy());
    return peer;
  }

  /** Makes another table the current one. */
  publish(table: object): void {
    this.#version++;
    this.#cell.publish(compiled(table, this.#version));
  }

  /** The value of one sample of the metrics; 0 when it is not there. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const lines = (await this.telemetry.scrape())
      .split("\n")
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
    const matching = lines.filter((line) =>
      Object.entries(labels).every(([key, value]) => line.includes(`${key}="${value}"`)),
    );
    return matching.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
  }

  /** Closes everything at once and gives the access log's lines. */
  async logLines(): Promise<Record<string, unknown>[]> {
    await this.close();
    const text = await readFile(this.#logFile, "utf8");
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  close(): Promise<void> {
    this.#closed ??= this.proxy.close().then(() => this.#accessLog?.close());
    return this.#closed;
  }
}

function compiled(table: object, version: number): CompiledTable {
  const loaded = loadTable(JSON.stringify(table), "routes.yaml");
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return new CompiledTable(loaded.image, version, loaded.digest);
}

function recorderOf({ spans, service, sandbox, limits }: ProxyConfig, telemetry: Telemetry): SpanRecorder | undefined {
  if (spans === undefined) return undefined;
  return new SpanRecorder({
    endpoint: spans.endpoint,
    service,
    ...(sandbox === undefined ? {} : { sandbox }),
    queuedMax: limits.spansQueuedMax,
    log: silentLog,
    stats: telemetry.spans,
    env: {},
  });
}

/** Starts a data plane; closed when the test is over. */
export async function startSidecar(options: SidecarOptions): Promise<Sidecar> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const logFile = join(folder, "access.log");
  const document = {
    service: options.service ?? "checkout",
    ...(options.sandbox === undefined ? {} : { sandbox: options.sandbox }),
    listeners: options.listeners ?? [{ direction: "inbound", address: "127.0.0.1:0", target: options.target }],
    table: { file: "routes.yaml" },
    tenancy: options.tenancy ?? {},
    upstreamTls: options.upstreamTls ?? {},
    limits: options.limits ?? {},
    timeouts: options.timeouts ?? {},
    ...(options.spans === undefined ? {} : { spans: { endpoint: options.spans.endpoint } }),
  };
  const loaded = loadConfig(JSON.stringify(document), join(folder, "sidelane.yaml"), {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const cell = new TableCell();
  if (options.table !== undefined) cell.publish(compiled(options.table, 1));
  const { grpcMethodLabelsMax } = loaded.config.limits;
  const telemetry = new Telemetry({
    sandboxLabelsMax: 100,
    grpcMethodLabelsMax,
    processMetrics: false,
    journalEntriesMax: loaded.config.limits.journalEntriesMax,
  });
  const accessLog = options.accessLog === true ? new AccessLog({ enabled: true, file: logFile }) : undefined;
  const spans = recorderOf(loaded.config, telemetry);
  const proxy = await startProxy(loaded.config, {
    cell,
    telemetry,
    accessLog,
    log: options.log ?? silentLog,
    nativeWrites: options.nativeWrites ?? true,
    tlsPollMs: 20,
    ...(options.instanceId === undefined ? {} : { instanceId: options.instanceId }),
    ...(spans === undefined ? {} : { spans }),
  });
  onTestFinished(() => spans?.close());
  const sidecar = new Sidecar(proxy, telemetry, cell, accessLog, logFile);
  onTestFinished(() => sidecar.close());
  return sidecar;
}

/** A client, the sidecar, and the app behind it. */
export interface Trio {
  readonly client: Peer;
  readonly sidecar: Sidecar;
  readonly backend: Backend;
}

/** Starts a scripted app, a sidecar before it, and a client. */
export async function startTrio(options: SidecarOptions = {}): Promise<Trio> {
  const backend = await startBackend();
  const sidecar = await startSidecar({ target: backend.name, ...options });
  return { client: await sidecar.connect(), sidecar, backend };
}

/** The part of a test's surroundings that depends on how the sidecar writes to its sockets. */
export interface WriteMode {
  readonly nativeWrites: boolean;
}

/**
 * Defines the same tests twice: with direct writes and with the public way, which has to behave the same
 * (src/proxy/native-handle.ts).
 */
export function describeRelay(name: string, define: (mode: WriteMode) => void): void {
  describe(`${name} (direct writes)`, () => {
    define({ nativeWrites: true });
  });
  describe(`${name} (public writes)`, () => {
    define({ nativeWrites: false });
  });
}
