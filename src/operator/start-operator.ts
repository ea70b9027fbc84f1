// The operator: one of its replicas leads and works, the others wait. All of them answer for their health.

import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { randomUUID } from "node:crypto";
import type { Log } from "../base/log.ts";
import { RefusedError } from "../base/refused-error.ts";
import { startHttpServer } from "../admin/http-server.ts";
import type { OperatorConfig } from "../config/operator-config.ts";
import type { KubeClient } from "../kube/client.ts";
import { leadWithLease } from "../kube/lease.ts";
import { pause } from "../kube/back-off.ts";
import { Certificates } from "./certificates/certificates.ts";
import { ControlPlane } from "./control-plane.ts";
import { healthRoutes } from "./health-routes.ts";
import type { OperatorHealth } from "./health-routes.ts";
import { OperatorMetrics } from "./metrics.ts";
import { Reconcilers } from "./reconcilers.ts";

export interface RunningOperator {
  /** `host:port` as bound: health and metrics. */
  readonly admin: string;
  /** Whether this replica does the work. */
  readonly isLeader: () => boolean;
  /** Ends what runs, lets go of the lease. */
  close(): Promise<void>;
}

/** Tests shorten them. */
export interface OperatorTimes {
  readonly leaseMs: number;
  readonly renewMs: number;
}

const operatorTimes: OperatorTimes = { leaseMs: 15_000, renewMs: 2000 };
const LEASE = "sidelane-operator";
const CERTIFICATES_AGAIN_MS = 10_000;

/** Starts; rejects with a sentence when the namespace is not known or the address is taken. */
export async function startOperator(
  config: OperatorConfig,
  kube: KubeClient,
  log: Log,
  times: OperatorTimes = operatorTimes,
): Promise<RunningOperator> {
  const namespace = config.namespace ?? kube.namespace;
  if (namespace === undefined) {
    throw new RefusedError(
      "the namespace that Sidelane runs in is not known: write `namespace: sidelane` into the operator config",
    );
  }
  const ending = new AbortController();
  const { signal } = ending;
  let working: Reconcilers | undefined;
  const certificates =
    config.certificates === "none"
      ? undefined
      : new Certificates({ client: kube, namespace, clock: () => Date.now(), log, issuer: config.certificates });
  const control = new ControlPlane({
    urls: config.control.urls,
    tokenFile: config.control.tokenFile,
    ca: async () =>
      config.control.ca === undefined ? (certificates?.bundle ?? "") : readFile(config.control.ca, "utf8"),
  });
  const metrics = new OperatorMetrics({
    queues: () => working?.queues,
    isLeader: () => working !== undefined,
    podsWithoutSidecar: () => working?.missing.counts() ?? new Map<string, number>(),
    sandboxes: () => working?.sandboxCounts() ?? new Map<string, number>(),
  });
  const health: OperatorHealth = {
    notReady: () => {
      if (signal.aborted) return ["this replica is ending"];
      return working === undefined || working.cluster.isSynced ? [] : ["the cluster is not known completely yet"];
    },
    problems: () => working?.problems() ?? [],
    isLeader: () => working !== undefined,
    metrics: () => metrics.scrape(),
  };
  const server = await startHttpServer({
    address: config.admin.address,
    setting: "admin.address",
    name: "admin",
    routes: healthRoutes,
    backend: health,
    log,
    connectionsMax: 100,
    bodyBytesMax: 1024,
  });

  const lead = async (leading: AbortSignal): Promise<void> => {
    const { clusterDomain } = config;
    const onInjected = (labelled: string): void => {
      certificates?.trust(labelled).catch((error: unknown) => {
        log.warn("a namespace lacks the authority for now", { namespace: labelled, error: (error as Error).message });
      });
    };
    const reconcilers = new Reconcilers({
      kube,
      control,
      log,
      ownNamespace: namespace,
      clusterDomain,
      metrics,
      onInjected,
    });
    const certifying = certificates === undefined ? undefined : keepCertificates(certificates, log, leading);
    working = reconcilers;
    try {
      await reconcilers.run(leading);
    } finally {
      working = undefined;
      await certifying;
    }
  };
  const identity = `${hostname()}_${randomUUID().slice(0, 8)}`;
  const lease = {
    client: kube,
    namespace,
    name: LEASE,
    identity,
    log,
    durationMs: times.leaseMs,
    renewMs: times.renewMs,
  };
  const leading = leadWithLease(lease, signal, lead);
  return {
    admin: server.address,
    isLeader: () => working !== undefined,
    async close() {
      ending.abort();
      await leading;
      await server.close();
      metrics.close();
      kube.close();
    },
  };
}

async function keepCertificates(certificates: Certificates, log: Log, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    let againMs = CERTIFICATES_AGAIN_MS;
    try {
      againMs = (await certificates.reconcile()).nextCheckMs;
    } catch (error) {
      log.warn("certificates could not be looked after, and are again in a moment", {
        error: (error as Error).message,
      });
    }
    await pause(againMs, signal);
  }
}
