// The data plane of one process: listeners, routes, endpoints, deadlines. Reads tables from the cell and never writes one.
import { randomBytes } from "node:crypto";
import { startTicking } from "../base/clock.ts";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { AccessLog } from "../telemetry/access-log.ts";
import type { Telemetry } from "../telemetry/metrics.ts";
import { EndpointRegistry } from "./endpoints/registry.ts";
import { Listener, type ListenerDeps } from "./listener.ts";
import { findNativeWrites } from "./native-handle.ts";
import { Router } from "./router.ts";
import { useNativeWrites } from "./wire.ts";

/** What the data plane needs from its surroundings. */
export interface ProxyDeps {
  readonly cell: TableCell;
  readonly telemetry: Telemetry;
  /** Undefined when the access log is off: then no string is made for it. */
  readonly accessLog: AccessLog | undefined;
  readonly log: Log;
  /** Several processes share the listeners' addresses. */
  readonly reusePort?: boolean;
  /** Distinguishes this sidecar in Via; workers of one sidecar share it. Default: random. */
  readonly instanceId?: string;
}

/** A running data plane. */
export interface RunningProxy {
  /** Listener name -> `host:port` actually bound. */
  readonly addresses: ReadonlyMap<string, string>;
  /** For `GET /connections`. */
  connections(): object;
  /** Stops accepting, lets running exchanges finish; resolves when idle or when `timeouts.drainMs` have passed. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  close(): Promise<void>;
}

/** Starts all listeners, or none: rejects with a sentence that says which address cannot be had. */
export async function startProxy(config: ProxyConfig, deps: ProxyDeps): Promise<RunningProxy> {
  const native = await findNativeWrites();
  if (typeof native === "string") {
    deps.log.warn("direct writes are off, the slower public way is used", { why: native, node: process.version });
    useNativeWrites(undefined);
  } else useNativeWrites(native);

  const { cell, telemetry, accessLog, log } = deps;
  const registry = new EndpointRegistry({ limits: config.limits, timeouts: config.timeouts, telemetry, log });
  const listenerDeps: ListenerDeps = {
    telemetry,
    accessLog,
    log,
    instanceId: deps.instanceId ?? randomBytes(8).toString("hex"),
    reusePort: deps.reusePort ?? false,
    connections: { count: 0 },
  };
  const listeners: Listener[] = [];
  try {
    for (const listenerConfig of config.listeners) {
      const router = new Router(listenerConfig, config, cell, registry, telemetry);
      const listener = new Listener(listenerConfig, config, router, listenerDeps);
      await listener.listen();
      listeners.push(listener);
    }
  } catch (error) {
    for (const listener of listeners) listener.close();
    throw error;
  }
  const stopTicking = startTicking((nowMs) => {
    for (const listener of listeners) listener.sweep(nowMs);
    registry.sweep(nowMs);
  });

  const close = async (): Promise<void> => {
    stopTicking();
    for (const listener of listeners) listener.close();
    registry.close();
  };
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
      upstream: registry.describe(),
    }),
    drain: async () => {
      const all = Promise.all(listeners.map((listener) => listener.drain()));
      let timer: NodeJS.Timeout | undefined;
      const deadline = new Promise<"late">((resolve) => {
        timer = setTimeout(() => resolve("late"), config.timeouts.drainMs);
      });
      const outcome = await Promise.race([all, deadline]);
      clearTimeout(timer);
      if (outcome === "late")
        log.warn("drain deadline has passed, ending what still runs", { drainMs: config.timeouts.drainMs });
      registry.closeIdle();
    },
    close,
  };
}
