// A cluster with a test node, and what tests ask of both.
import { get } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { setTimeout as pause } from "node:timers/promises";
import { type Cluster, type ClusterOptions, startCluster } from "../cluster.ts";
import type { KubeObject } from "../kube-api.ts";
import { NodeNetwork } from "./network.ts";
import { TestNode } from "./node.ts";
import type { Container, EndpointSlice, PodSpec, PodStatus, Service } from "./pod.ts";

export type PodObject = KubeObject & { readonly spec: PodSpec; readonly status?: PodStatus };

/** What the app `echo` says of itself and of what it was asked. */
export interface Said {
  readonly name: string;
  readonly version: string;
  readonly message: string;
  readonly pod: string;
  readonly host: string;
  readonly from: string;
  readonly context: Readonly<Record<string, string>>;
  readonly next?: Said;
  readonly error?: string;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export class World {
  readonly network: NodeNetwork;
  readonly cluster: Cluster;
  readonly node: TestNode;

  private constructor(network: NodeNetwork, cluster: Cluster, node: TestNode) {
    this.network = network;
    this.cluster = cluster;
    this.node = node;
  }

  static async start(options: ClusterOptions = {}): Promise<World> {
    const network = await NodeNetwork.make();
    let cluster: Cluster | undefined;
    try {
      const { serviceRange, apiAddresses } = network;
      cluster = await startCluster({ ...options, serviceRange, addresses: apiAddresses });
      return new World(network, cluster, await TestNode.start({ api: cluster.api, network }));
    } catch (error) {
      await cluster?.stop();
      await network.close();
      throw error;
    }
  }

  /** The cluster before the network: what is asked in between has an address to go to. */
  async close(): Promise<void> {
    await this.node.close();
    await this.cluster.stop();
    await this.network.close();
  }

  /** `kubectl apply` of objects. */
  apply(...items: readonly object[]): Promise<string> {
    const list = { apiVersion: "v1", kind: "List", items };
    return this.cluster.kubectl(["apply", "-f", "-"], { input: JSON.stringify(list) });
  }

  pod(namespace: string, name: string, accept: (pod: PodObject) => boolean, withinMs?: number): Promise<PodObject> {
    return this.cluster.api.until<PodObject>(`/api/v1/namespaces/${namespace}/pods`, name, accept, withinMs);
  }

  /** All pods that a label selects, as soon as they are `count` and ready, and nobody else is. */
  readyPods(namespace: string, selector: string, count = 1, withinMs?: number): Promise<readonly PodObject[]> {
    const path = `/api/v1/namespaces/${namespace}/pods?labelSelector=${encodeURIComponent(selector)}`;
    return this.cluster.api.untilAll<PodObject>(path, (pods) => pods.length === count && pods.every(isReady), withinMs);
  }

  /** A Service's address and first port, as soon as `count` of its endpoints are ready. */
  async service(namespace: string, name: string, count = 1): Promise<string> {
    const slices = `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D${name}`;
    await this.cluster.api.untilAll<KubeObject & EndpointSlice>(slices, (all) => {
      const endpoints = all.flatMap((slice) => slice.endpoints ?? []);
      return endpoints.filter(({ conditions }) => conditions?.ready === true).length === count;
    });
    const { spec } = await this.cluster.api.get<Service>(`/api/v1/namespaces/${namespace}/services/${name}`);
    return `${spec.clusterIP}:${spec.ports?.[0]?.port}`;
  }
}

export function isReady({ status, metadata }: PodObject): boolean {
  const ready = status?.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "True" && metadata.deletionTimestamp === undefined;
}

/** One request on a connection of its own; status 0: no answer, and why. */
export function ask(address: string, path = "/", headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  return new Promise((resolve) => {
    const options = { headers, agent: false, signal: AbortSignal.timeout(15_000) } as const;
    const asked = get(`http://${address}${path}`, options, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (chunk: string) => (text += chunk));
      answer.once("error", (error) => resolve({ status: 0, text: error.message }));
      answer.once("end", () => resolve({ status: answer.statusCode ?? 0, text }));
    });
    asked.once("error", (error) => resolve({ status: 0, text: error.message }));
  });
}

/** What `echo` says. */
export async function said(address: string, headers: Readonly<Record<string, string>> = {}): Promise<Said> {
  const { status, text } = await ask(address, "/", headers);
  if (status !== 200) throw new Error(`${address}: ${status} ${text}`);
  return JSON.parse(text) as Said;
}

/** What the app `grpc` says of itself. */
export async function saidByGrpc(address: string, headers: Readonly<Record<string, string>> = {}): Promise<string> {
  const session = connectHttp2(`http://${address}`);
  try {
    const failed = Promise.withResolvers<never>();
    session.once("error", failed.reject);
    const head = { ":method": "POST", ":path": "/app.Who/Are", "content-type": "application/grpc", te: "trailers" };
    const asked = session.request({ ...head, ...headers });
    asked.once("error", failed.reject);
    asked.setTimeout(15_000, () => asked.destroy(new Error("no answer")));
    asked.end(Buffer.alloc(5));
    const chunks = (await Promise.race([asked.toArray(), failed.promise])) as Buffer[];
    return Buffer.concat(chunks).subarray(7).toString();
  } finally {
    session.destroy();
  }
}

/** `condition` holds before the test's time is up; what it throws is as no. */
export async function until<T>(what: string, condition: () => Promise<T | undefined>, withinMs = 30_000): Promise<T> {
  const endMs = performance.now() + withinMs;
  let why: unknown;
  while (performance.now() < endMs) {
    try {
      const value = await condition();
      if (value !== undefined && value !== false) return value;
      why = undefined;
    } catch (error) {
      why = error;
    }
    await pause(50);
  }
  throw new Error(`not within ${withinMs} ms: ${what}`, { cause: why });
}

export const namespace = (name: string, labels: Readonly<Record<string, string>> = {}): object => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name, labels },
});

export interface App {
  readonly namespace: string;
  readonly name: string;
  /** A program of `apps/` and its version: `echo:v1`. */
  readonly program: string;
  readonly port?: number;
  readonly env?: Readonly<Record<string, string>>;
  readonly replicas?: number;
  readonly container?: Partial<Container>;
  readonly pod?: Partial<PodSpec>;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly clusterIP?: "None";
  /** Default: a Deployment. */
  readonly kind?: "Deployment" | "StatefulSet";
}

/** A Deployment, or a StatefulSet, and its Service on port 80. */
export function app(options: App): readonly object[] {
  const { name, program, port = 8080, replicas = 1 } = options;
  const labels = { app: name };
  const env = Object.entries({ NAME: name, PORT: String(port), ...options.env });
  const protocol = program.split(":")[0] as "echo" | "grpc" | "greeter";
  const readinessProbe = {
    ...(protocol === "echo" ? { httpGet: { path: "/health", port } } : { tcpSocket: { port } }),
    periodSeconds: 1,
  };
  const container = {
    name: "app",
    image: `registry.test/app/${program}`,
    ports: [{ name: "main", containerPort: port }],
    env: env.map(([key, value]) => ({ name: key, value })),
    readinessProbe,
    ...options.container,
  };
  const spec = { terminationGracePeriodSeconds: 10, ...options.pod, containers: [container] };
  const metadata = { name, namespace: options.namespace };
  const template = { metadata: { labels, annotations: options.annotations ?? {} }, spec };
  const ports = [{ name: { echo: "http", grpc: "grpc", greeter: "tcp" }[protocol], port: 80, targetPort: "main" }];
  const { clusterIP, kind = "Deployment" } = options;
  const service = { selector: labels, ports, ...(clusterIP && { clusterIP }) };
  const selected = { replicas, selector: { matchLabels: labels }, template };
  const workload = kind === "StatefulSet" ? { ...selected, serviceName: name } : selected;
  // The Service first: what it says of a port's protocol is known when the pod comes.
  return [
    { apiVersion: "v1", kind: "Service", metadata, spec: service },
    { apiVersion: "apps/v1", kind, metadata, spec: workload },
  ];
}
