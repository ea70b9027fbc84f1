// One replica of the webhook, wired together.
//
//   API server -> HTTPS -> review -> pod/review-pod.ts   what the pod gets, by its annotations and
//                                        ^               what the watches of cluster.ts know
//
// Health and metrics are served at once; reviews when there is a certificate. Both files of it are followed.

import { setTimeout as sleep } from "node:timers/promises";
import { startHttpServer } from "../admin/http-server.ts";
import type { HttpServer, TlsContents } from "../admin/http-server.ts";
import type { Log } from "../base/log.ts";
import type { WebhookConfig } from "../config/webhook-config.ts";
import type { KubeClient } from "../kube/client.ts";
import type { FollowTimes } from "../proxy/followed-files.ts";
import { type PemContents, PemFiles } from "../proxy/tls/pem-files.ts";
import { TlsStats } from "../telemetry/tls-stats.ts";
import { Cluster } from "./cluster.ts";
import { WebhookMetrics } from "./metrics.ts";
import { reviewPod } from "./pod/review-pod.ts";
import type { PodOutcome } from "./pod/review-pod.ts";
import type { AdmissionRequest } from "./review.ts";
import { ENDING, healthRoutes, reviewRoutes } from "./routes.ts";
import type { WebhookBackend } from "./routes.ts";

/** What it needs besides the config. */
export interface WebhookDeps {
  readonly client: Pick<KubeClient, "get" | "list" | "watch" | "request" | "namespace">;
  readonly log: Log;
  /** Of Sidelane; written on pods. */
  readonly version: string;
  /** Told to end before there was a certificate. */
  readonly signal: AbortSignal;
  /** Tests: shorter times between looks at the files. */
  readonly times?: FollowTimes;
}

/** A replica that runs. */
export interface RunningWebhook {
  /** `host:port` as bound. */
  readonly reviews: string;
  readonly admin: string;
  /** Not ready at once; goes on answering for `drainMs`, then closes. */
  close(): Promise<void>;
}

/** Between two looks for a certificate that is not there yet. */
const CERTIFICATE_MS = 1000;
/**
 * Longer than the 90 s for which the API server keeps idle connections: the side that asks is to close them, or a question and the
 * end of the connection may cross.
 */
const TIMEOUTS = { headMs: 5000, requestMs: 10_000, idleMs: 120_000 } as const;

/** Starts; undefined when the signal came first. Rejects when an address is taken. */
export async function startWebhook(config: WebhookConfig, deps: WebhookDeps): Promise<RunningWebhook | undefined> {
  const { client, log, signal } = deps;
  const { limits, timeouts } = config;
  const stats = new TlsStats();
  const cluster = new Cluster({ client, log, namespaceMs: timeouts.namespaceMs });
  let server: HttpServer | undefined;
  let ending = false;
  const notReady = (): readonly string[] => [
    ...(ending ? [ENDING] : []),
    ...(server === undefined ? ["there is no certificate yet"] : []),
    ...cluster.missing,
  ];
  const metrics = new WebhookMetrics(stats, () => notReady().length === 0);
  const review = reviewer(config, deps, cluster, metrics);
  const backend: WebhookBackend = {
    notReady,
    review,
    metrics: () => metrics.scrape(),
    metricsType: metrics.contentType,
  };
  const common = { name: "webhook", variablePrefix: "SIDELANE_WEBHOOK_", backend, log, ...limits } as const;
  const admin = await startHttpServer({
    ...common,
    address: config.admin.address,
    setting: "admin.address",
    routes: healthRoutes,
  });
  cluster.start();
  const paths = { certificate: config.tls.certificate, key: config.tls.key };
  const files = new PemFiles("webhook", paths, (contents) => server?.secure(contentsOf(contents)), {
    log,
    stats,
    ...deps.times,
  });
  const close = async (): Promise<void> => {
    files.close();
    await cluster.close();
    await server?.close();
    await admin.close();
    metrics.close();
  };
  try {
    const contents = await firstCertificate(files, log, signal);
    if (contents === undefined) {
      await close();
      return undefined;
    }
    server = await startHttpServer({
      ...common,
      address: config.address,
      setting: "address",
      routes: reviewRoutes,
      tls: contentsOf(contents),
      timeouts: TIMEOUTS,
    });
  } catch (error) {
    await close();
    throw error;
  }
  return {
    reviews: server.address,
    admin: admin.address,
    close: async () => {
      ending = true;
      await sleep(timeouts.drainMs);
      await close();
    },
  };
}

/** Says what becomes of one review, and counts it. */
function reviewer(
  { namespace, sidecar }: WebhookConfig,
  { client, log, version }: WebhookDeps,
  cluster: Cluster,
  metrics: WebhookMetrics,
): (request: AdmissionRequest) => Promise<PodOutcome | undefined> {
  const ownNamespace = namespace ?? client.namespace ?? "sidelane";
  const defaults = { ...sidecar, control: sidecar.control ?? `sidelane-control.${ownNamespace}.svc:15021` };
  const decide = async ({ pod, namespace: name }: AdmissionRequest): Promise<PodOutcome | undefined> => {
    if (pod === undefined) return undefined;
    const { minorVersion } = cluster;
    return reviewPod({
      pod,
      namespace: { name, labels: await cluster.labels(name) },
      services: cluster.services(name),
      defaults,
      cluster: {
        ...{ ownNamespace, minorVersion, version },
        // Few pods ask, and of ten thousand Services it is worth not to be made for each.
        get httpPorts() {
          return cluster.httpPorts;
        },
      },
    });
  };
  return async (request) => {
    const startedMs = performance.now();
    const took = (): number => performance.now() - startedMs;
    try {
      const outcome = await decide(request);
      metrics.reviewed(outcome?.kind ?? "other", outcome?.kind === "skipped" ? outcome.reason : "none", took());
      log.debug("reviewed", {
        namespace: request.namespace,
        pod: request.pod?.metadata?.name ?? request.pod?.metadata?.generateName,
        outcome: outcome?.kind ?? "other",
        reason: outcome?.kind === "skipped" ? outcome.reason : undefined,
      });
      return outcome;
    } catch (error) {
      metrics.reviewed("failed", "none", took());
      throw error;
    }
  };
}

/** Whoever makes the certificate may start after us. Undefined when the signal came first. */
async function firstCertificate(files: PemFiles, log: Log, signal: AbortSignal): Promise<PemContents | undefined> {
  let told = "";
  while (!signal.aborted) {
    try {
      return await files.start();
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      if (why !== told) log.warn("waiting for a certificate", { why });
      told = why;
    }
    await sleep(CERTIFICATE_MS, undefined, { signal }).catch(() => {});
  }
  return undefined;
}

/** Both files are named, so both are there. */
function contentsOf({ certificate = "", key = "" }: PemContents): TlsContents {
  return { certificate, key };
}
