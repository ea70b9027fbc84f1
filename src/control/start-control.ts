// One replica of the control plane, wired together.
//
//   store -> state -> feed -> sidecars            what everybody knows, and who follows it
//              │               │ activity, answers
//   people -> API -> writer    └-> traffic, readiness, traces
//
// Started from left to right: nobody is let in before the state is known. Closed the other way.

import { randomBytes, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import type { Log } from "../base/log.ts";
import type { ControlConfig, StoreConfig } from "../config/control-config.ts";
import { connectKube } from "../kube/client.ts";
import type { KubeClient } from "../kube/client.ts";
import { formatEndpoint, parseEndpoint } from "../routing/endpoint-name.ts";
import type { ApiBackend } from "./api/backend.ts";
import { serveApi } from "./api/serve-api.ts";
import { Credentials } from "./credentials.ts";
import type { TokenReviewer } from "./kubernetes-tokens.ts";
import { tokenReviewer } from "./token-reviewer.ts";
import { startConnections } from "./connect/start-connections.ts";
import type { Connections } from "./connect/start-connections.ts";
import { FeedStats } from "./feed/feed-stats.ts";
import { startFeedServer } from "./feed/server.ts";
import type { FeedServer } from "./feed/server.ts";
import { Sidecars } from "./feed/sidecars.ts";
import { ControlMetrics } from "./metrics.ts";
import { startReadiness } from "./readiness/start-readiness.ts";
import { ReplicaTls } from "./replica-tls.ts";
import { ControlState } from "./state.ts";
import { openStore } from "./store/open-store.ts";
import type { ReplicaRecord, Store } from "./store/store.ts";
import { Writer } from "./writer.ts";

/** How long somebody who looks at one sandbox waits for what is being asked about it. */
const STATUS_MS = 1000;

/** A replica that runs. */
export interface RunningControl {
  /** `host:port` as bound. */
  readonly api: string;
  readonly feed: string;
  /** Sends sidecars and machines away, finishes running answers, closes the store. */
  close(): Promise<void>;
}

/** Starts; rejects with a sentence when the store cannot be used or an address is taken. */
export async function startControl(config: ControlConfig, log: Log, version: string): Promise<RunningControl> {
  /** What has been started, to be closed the other way round. */
  const started: (() => unknown)[] = [];
  const closeAll = async (): Promise<void> => {
    for (const close of started.toReversed()) await close();
  };
  try {
    const parts = await start(config, log, version, started);
    return { ...parts, close: closeAll };
  } catch (error) {
    await closeAll();
    throw error;
  }
}

async function start(
  config: ControlConfig,
  log: Log,
  version: string,
  started: (() => unknown)[],
): Promise<{ readonly api: string; readonly feed: string }> {
  const { limits, timeouts } = config;
  const replica = randomUUID();
  const state = new ControlState();
  const store = await openStoreOf(config.store, connectKube, log);
  started.push(() => store.close());
  await store.open(state);
  started.push(state.onReachable(() => tellStore(state, log)));
  log.info("store open", { store: store.name, revision: state.revision, source: store.source });

  const sidecars = new Sidecars(replica, timeouts.disconnectedMs);
  const stats = new FeedStats();
  const serving: { feed?: FeedServer; connections?: Connections } = {};
  const metrics = new ControlMetrics({
    state,
    sidecars,
    feed: stats,
    feedStatus: () => serving.feed?.status(),
    machines: () => serving.connections?.list() ?? [],
  });
  started.push(() => metrics.close());
  const writer = new Writer(state, store, (result) => metrics.committed(result));

  const replicaTls = await ReplicaTls.start(config, log);
  started.push(() => replicaTls.close());
  const readiness = await startReadiness({
    self: selfOf(replica),
    tls: replicaTls,
    store,
    state,
    writer,
    sidecars,
    log,
    probeMs: timeouts.probeMs,
    disconnectedMs: timeouts.disconnectedMs,
  });
  started.push(() => readiness.close());
  const { replicas } = readiness;
  const reviewer = await reviewerOf(config, started);
  const authority = new Credentials({ auth: config.auth, replicaSecret: replicas.self.secret, log, reviewer });
  await authority.start();
  started.push(() => authority.close());

  const feed = await startFeedServer({
    config: config.feed,
    state,
    source: () => store.source,
    sidecars,
    auth: authority,
    log,
    streamsMax: limits.streamsMax,
    drainMs: timeouts.drainMs,
    stats,
  });
  serving.feed = feed;
  started.push(() => feed.close());

  let ending = false;
  const connections = startConnections({
    state,
    writer,
    replica,
    host: config.connect.host,
    ports: config.connect.ports,
    log,
    sessionsMax: limits.connectSessionsMax,
    graceMs: timeouts.connectGraceMs,
    resourcesMax: limits.resourcesMax,
    isAlive: (id) => replicas.lives(id),
  });
  serving.connections = connections;
  const backend: ApiBackend = {
    version,
    replica,
    state,
    writer,
    authority,
    limits,
    store,
    internal: readiness.internalRoutes,
    status: (sandbox) => readiness.status(sandbox),
    statusSoon: (sandbox) => readiness.statusSoon(sandbox, STATUS_MS),
    wait: (sandbox, what, withinMs, signal) => readiness.wait(sandbox, what, withinMs, signal),
    sidecars: (everywhere) => readiness.sidecars(everywhere),
    trace: (id, everywhere) => readiness.trace(id, everywhere),
    metrics: () => metrics.scrape(),
    notReady: () => (ending ? ["this replica is ending"] : []),
    connect: (...asked) => connections.upgrade(...asked),
  };
  const api = await serveApi({
    config: config.api,
    backend,
    log,
    onAnswer: (method, route, status) => metrics.apiRequest(method, route, status),
  });
  started.push(
    () => api.close(),
    () => connections.close(timeouts.drainMs),
    () => (ending = true),
  );

  // Only now: others ask whoever has joined.
  await readiness.join(config.advertise ?? advertised(config, api.address));
  return { api: api.address, feed: feed.address };
}

/** Undefined: tokens of Kubernetes are not known here. */
async function reviewerOf({ auth }: ControlConfig, started: (() => unknown)[]): Promise<TokenReviewer | undefined> {
  if (auth.kind === "none" || auth.kubernetes === undefined) return undefined;
  const client = await connectKube();
  started.push(() => client.close());
  return tokenReviewer(client);
}

function tellStore({ storeProblem, revision }: ControlState, log: Log): void {
  if (storeProblem === "") log.info("the store can be reached", { revision });
  else log.error(`the store cannot be reached, nothing can be written: ${storeProblem}`, { revision });
}

async function openStoreOf(config: StoreConfig, kube: () => Promise<KubeClient>, log: Log): Promise<Store> {
  const warn = (message: string): void => log.warn(message);
  if (config.kind !== "etcd") return openStore(config, { warn, kube });
  const { tls, username, passwordFile } = config;
  const text = async (file: string | undefined): Promise<string | undefined> =>
    file === undefined ? undefined : readFile(file, "utf8");
  const credentials = {
    ca: await text(tls?.ca),
    certificate: await text(tls?.certificate),
    key: await text(tls?.key),
    username,
    password: (await text(passwordFile))?.trimEnd(),
  };
  return openStore({ ...config, secure: tls !== undefined }, { warn, etcd: credentials });
}

/** Others are let in by a secret that is new with each start. */
function selfOf(id: string): ReplicaRecord {
  return { id, url: "", secret: randomBytes(32).toString("base64url"), startedAt: new Date().toISOString() };
}

/** Where others reach this replica when nobody has said so: where it listens, or anywhere on this host. */
function advertised({ api }: ControlConfig, address: string): string {
  const endpoint = parseEndpoint(address, true);
  if ("problem" in endpoint) return "";
  const everywhere = endpoint.host === "0.0.0.0" || endpoint.host === "::";
  const authority = everywhere ? `${hostname()}:${endpoint.port}` : formatEndpoint(endpoint);
  return `${api.tls === undefined ? "http" : "https"}://${authority}`;
}
