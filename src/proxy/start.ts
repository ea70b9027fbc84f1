// The data plane of one process: listeners, routes, endpoints, deadlines. Reads tables from the cell and never writes one.
import { setImmediate as nextTurn, setTimeout as sleep } from "node:timers/promises";
import { TICK_MS, coarse, startTicking } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { Telemetry } from "../telemetry/metrics.ts";
import type { SpanRecorder } from "../telemetry/spans/recorder.ts";
import { EndpointRegistry } from "./endpoints/registry.ts";
import { type LookUp, systemLookUp } from "./endpoints/resolver.ts";
import type { SandboxUses } from "./endpoints/sandbox-uses.ts";
import { Listener, type ListenerDeps } from "./listener.ts";
import { findNativeWrites } from "./native-handle.ts";
import type { ProxyTls } from "./tls/start-tls.ts";
import { type Protocol, Router } from "./router.ts";
import type { KeyFiles } from "./tenancy/key-files.ts";
import { openTenancy } from "./tenancy/tenancy.ts";
import { useNativeWrites } from "./wire.ts";

/** What the data plane needs from its surroundings. */
export interface ProxyDeps {
  readonly cell: TableCell;
  readonly telemetry: Telemetry;
  /** Undefined when the access log is off: then no string is made for it. */
  readonly accessLog: AccessLog | undefined;
  readonly log: Log;
  /** Undefined: no spans. */
  readonly spans?: SpanRecorder;
  /** Where it is counted which sandboxes are in use; absent: nobody wants to know. */
  readonly uses?: SandboxUses;
  /** Several processes share the listeners' addresses. */
  readonly reusePort?: boolean;
  /** Distinguishes this sidecar in Via; workers of one sidecar share it. Default: random. */
  readonly instanceId?: string;
  /** Addresses of an endpoint's name. Default: the system's resolver. */
  readonly lookUp?: LookUp;
  /** False: never the direct writes of native-handle.ts, only the public way. Of the whole process. Default: true. */
  readonly nativeWrites?: boolean;
  /** Between two looks at certificate files. Default: 5 s. */
  readonly tlsPollMs?: number;
}

/** A running data plane. */
export interface RunningProxy {
  /** Listener name -> `host:port` actually bound. */
  readonly addresses: ReadonlyMap<string, string>;
  /** For `GET /connections`. */
  connections(): object;
  /**
   * For `timeouts.drainDelayMs` everything is served and answers say `Connection: close`. Then nothing more is accepted, idle
   * connections end, running exchanges finish. Resolves when they have, at the latest after further `timeouts.drainMs`; the
   * caller then calls `close`. A second call joins the first.
   */
  drain(): Promise<void>;
  /** Ends everything at once. */
  close(): Promise<void>;
}

/** Starts all listeners, or none: rejects with a sentence that says which address cannot be had. */
export async function startProxy(config: ProxyConfig, deps: ProxyDeps): Promise<RunningProxy> {
  const native = deps.nativeWrites === false ? "switched off" : await findNativeWrites();
  if (typeof native === "string") {
    deps.log.warn("direct writes are off, the slower public way is used", { why: native, node: process.version });
    useNativeWrites(undefined);
  } else useNativeWrites(native);

  const { cell, telemetry, accessLog, log } = deps;
  const registry = new EndpointRegistry(
    { limits: config.limits, timeouts: config.timeouts, telemetry, log },
    deps.lookUp ?? systemLookUp,
  );
  const keyFiles = await startKeyFilesIfAny(config, deps);
  const tenancy = openTenancy(config, {
    telemetry,
    log,
    logged: accessLog !== undefined,
    spans: deps.spans,
    verifier: keyFiles?.verifier,
  });
  const listenerDeps: ListenerDeps = {
    tenancy,
    telemetry,
    accessLog,
    log,
    instanceId: deps.instanceId ?? randomId(),
    reusePort: deps.reusePort ?? false,
    connections: { count: 0 },
  };
  const tls = await startTlsIfAny(config, deps).catch((error: unknown) => {
    keyFiles?.close();
    throw error;
  });
  const listeners: Listener[] = [];
  registry.onConnectProtocol = (endpoint) => {
    for (const listener of listeners) listener.noteConnectProtocol(endpoint);
  };
  const stopTicking = startTicking((nowMs) => {
    for (const listener of listeners) listener.sweep(nowMs);
    registry.sweep(nowMs);
  });
  try {
    for (const listenerConfig of config.listeners) {
      const routerOf = (protocol: Protocol): Router =>
        new Router(listenerConfig, config, cell, registry, telemetry, protocol, tenancy, tls, deps.uses);
      const routers = { http1: routerOf("http1"), http2: routerOf("http2"), tcp: routerOf("tcp") };
      const listener = new Listener(
        listenerConfig,
        config,
        routers,
        listenerDeps,
        tls?.listeners.get(listenerConfig.name),
      );
      await listener.listen();
      listeners.push(listener);
    }
  } catch (error) {
    stopTicking();
    for (const listener of listeners) listener.close();
    tls?.close();
    keyFiles?.close();
    throw error;
  }
  const stopListening = cell.onPublish((table) => {
    registry.noteTable();
    deps.uses?.noteTable(table);
    for (const listener of listeners) listener.noteTable();
  });

  const closed = new AbortController();
  const close = async (): Promise<void> => {
    closed.abort();
    stopTicking();
    stopListening();
    for (const listener of listeners) listener.close();
    tls?.close();
    keyFiles?.close();
    registry.close();
  };
  let draining: Promise<void> | undefined;
  return {
    addresses: new Map(listeners.map((listener) => [listener.config.name, listener.address])),
    connections: () => ({
      downstream: listeners.map((listener) => ({
        listener: listener.config.name,
        direction: listener.config.direction,
        address: listener.config.address,
        connections: listener.connectionCount,
        idle: listener.idleCount,
      })),
      certificates: tls?.status() ?? [],
      signingKeys: keyFiles?.status() ?? [],
      upstream: registry.describe(coarse.nowMs),
    }),
    drain: () =>
      (draining ??= drainListeners(listeners, config, log, closed.signal).finally(() => registry.closeIdle())),
    close,
  };
}

/** Most sidecars have no TLS, and Node's takes some memory. */
async function startTlsIfAny(config: ProxyConfig, deps: ProxyDeps): Promise<ProxyTls | undefined> {
  const services = Object.keys(config.upstreamTls).length;
  if (services === 0 && config.listeners.every((listener) => listener.tls === undefined)) return undefined;
  const { startTls } = await import("./tls/start-tls.ts");
  const { log, telemetry, tlsPollMs } = deps;
  return startTls(config, { log, stats: telemetry.tls, ...(tlsPollMs === undefined ? {} : { pollMs: tlsPollMs }) });
}

/** Verifying signatures takes node:crypto, and few sidecars have any to verify. */
async function startKeyFilesIfAny(
  { tenancy }: ProxyConfig,
  { log, telemetry, tlsPollMs }: ProxyDeps,
): Promise<KeyFiles | undefined> {
  const { signedBy } = tenancy.edge;
  if (signedBy.length === 0) return undefined;
  const { KeyFiles: Files } = await import("./tenancy/key-files.ts");
  return Files.start(signedBy, {
    log,
    reloads: telemetry.signingKeyReloads,
    ...(tlsPollMs === undefined ? {} : { pollMs: tlsPollMs }),
  });
}

async function drainListeners(
  listeners: readonly Listener[],
  { timeouts: { drainDelayMs, drainMs } }: ProxyConfig,
  log: Log,
  closed: AbortSignal,
): Promise<void> {
  for (const listener of listeners) listener.announceDrain();
  // At least a moment: clients that are busy hear of the end in an answer, instead of sending into a closing connection.
  await passed(Math.max(drainDelayMs, TICK_MS), closed);
  // Connections that the kernel has completed are lost when their listener closes: accept those first, in this turn's poll.
  await nextTurn();
  for (const listener of listeners) listener.stopAccepting();
  // What has just been accepted gets a turn in which its request is read; without it, it would look idle.
  await nextTurn();
  await nextTurn();
  // Clients that came during the announcement were served without one: told to go, they would have come back here.
  let told = false;
  for (const listener of listeners) if (listener.announceDrain()) told = true;
  if (told) await passed(TICK_MS, closed);
  const ended = new AbortController();
  const deadline = passed(drainMs, AbortSignal.any([ended.signal, closed]));
  const outcome = await Promise.race([Promise.all(listeners.map((listener) => listener.endConnections())), deadline]);
  ended.abort();
  if (outcome === "late") log.warn("drain deadline has passed, ending what still runs", { drainMs });
}

/** Resolves to "late" after so many milliseconds, or at once when the signal comes. */
function passed(ms: number, signal: AbortSignal): Promise<"late" | "cancelled"> {
  return sleep(ms, "late" as const, { signal }).catch(() => "cancelled" as const);
}

/** Distinct, not secret: node:crypto for this alone would cost 2 MB. */
function randomId(): string {
  const part = (): string =>
    Math.floor(Math.random() * 2 ** 32)
      .toString(16)
      .padStart(8, "0");
  return part() + part();
}
