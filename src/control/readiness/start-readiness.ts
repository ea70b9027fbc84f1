// What a replica knows about sidecars and sandboxes beyond the table, wired together.

import type { Log } from "../../base/log.ts";
import type { Gathered, SandboxStatus, WaitEvent } from "../api/backend.ts";
import { Expiry } from "../expiry.ts";
import type { SidecarInfo, Sidecars } from "../feed/sidecars.ts";
import { type InternalRoute, askAnywhere, internalRoutes } from "../internal-routes.ts";
import { Replicas, type ReplicasOptions } from "../replicas.ts";
import type { ControlState } from "../state.ts";
import type { Store } from "../store/store.ts";
import { type TracedSidecar, traceEverywhere, traceHere } from "../traces.ts";
import { Traffic } from "../traffic.ts";
import type { Writer } from "../writer.ts";
import { Prober } from "./prober.ts";
import { Readiness } from "./readiness.ts";
import { Returning } from "./returning.ts";
import { SidecarViews } from "./sidecar-views.ts";

export interface StartReadinessDeps extends ReplicasOptions {
  /** Open. */
  readonly store: Store;
  readonly state: ControlState;
  readonly writer: Pick<Writer, "write">;
  readonly sidecars: Sidecars;
  readonly log: Log;
  /** `timeouts.probeMs`. */
  readonly probeMs: number;
  /** `timeouts.disconnectedMs` */
  readonly disconnectedMs: number;
}

/** The parts of `ApiBackend` that are answered from here, and what others of the process need. */
export interface RunningReadiness {
  readonly replicas: Replicas;
  readonly internalRoutes: readonly InternalRoute[];
  /** Once the API can be asked at this URL: others are told of it, and sandboxes begin to expire. */
  join(url: string): Promise<void>;
  /** See `Readiness`. */
  status(sandbox: string): SandboxStatus | undefined;
  statusSoon(sandbox: string, withinMs: number): Promise<SandboxStatus | undefined>;
  wait(sandbox: string, what: "ready" | "deleted", withinMs: number, signal: AbortSignal): AsyncIterable<WaitEvent>;
  sidecars(everywhere: boolean): Promise<Gathered<SidecarInfo>>;
  trace(id: string, everywhere: boolean): Promise<Gathered<TracedSidecar>>;
  close(): Promise<void>;
}

/** Makes it, with what the store knows of traffic. */
export async function startReadiness(deps: StartReadinessDeps): Promise<RunningReadiness> {
  const { store, state, writer, sidecars, log, probeMs, disconnectedMs } = deps;
  const replicas = new Replicas(deps);
  const returning = new Returning({ forMs: disconnectedMs, startRevision: state.revision, replicas });
  const views = new SidecarViews(sidecars, state, replicas);
  const prober = new Prober(askAnywhere(sidecars, replicas), probeMs);
  const traffic = new Traffic({ state, sidecars, store, log });
  await traffic.start();
  const expiry = new Expiry({ state, writer, traffic, log });
  const readiness = new Readiness({
    state,
    views,
    prober,
    replica: sidecars.replica,
    returning,
    lives: (id) => replicas.lives(id),
    expiry: (sandbox) => expiry.endOf(sandbox),
    lastTraffic: (name) => dateOf(traffic.lastMs(name)),
  });
  return {
    replicas,
    internalRoutes: internalRoutes(sidecars, state, probeMs),
    async join(url) {
      await replicas.join(store, url);
      expiry.start();
    },
    status: (sandbox) => readiness.status(sandbox),
    statusSoon: (sandbox, withinMs) => readiness.statusSoon(sandbox, withinMs),
    wait: (sandbox, what, withinMs, signal) => readiness.wait(sandbox, what, withinMs, signal),
    async sidecars(everywhere) {
      if (!everywhere) return { items: sidecars.list(), missing: [] };
      await views.refresh(0);
      const { sidecars: items, replicas: all } = views.now();
      const missing = all.flatMap(({ replica, problem }) => (problem === "" ? [] : [{ replica, why: problem }]));
      return { items, missing };
    },
    async trace(id, everywhere) {
      if (everywhere) return traceEverywhere(sidecars, replicas, id, probeMs);
      return { items: await traceHere(sidecars, id, probeMs), missing: [] };
    },
    async close() {
      readiness.close();
      returning.close();
      views.close();
      await expiry.close();
      await traffic.close();
      replicas.close();
    },
  };
}

function dateOf(ms: number | undefined): Date | undefined {
  return ms === undefined ? undefined : new Date(ms);
}
