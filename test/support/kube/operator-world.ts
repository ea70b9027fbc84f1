// A cluster without machines, a control plane and the operator between them, in the suite's process; sidecars on request.
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import type { Log } from "../../../src/base/log.ts";
import { prepareSidecar } from "../../../src/cli/sidecar.ts";
import { loadConfig } from "../../../src/config/load-config.ts";
import { loadControlConfig } from "../../../src/config/load-control-config.ts";
import { loadOperatorConfig } from "../../../src/config/operator-config.ts";
import { startControl } from "../../../src/control/start-control.ts";
import type { RunningControl } from "../../../src/control/start-control.ts";
import { connectKube } from "../../../src/kube/client.ts";
import { startOperator } from "../../../src/operator/start-operator.ts";
import type { RunningOperator } from "../../../src/operator/start-operator.ts";
import { startCluster } from "./cluster.ts";
import type { Cluster } from "./cluster.ts";
import { startFakeNode } from "./fake-node.ts";
import type { Behaviour, FakeNode, Pod } from "./fake-node.ts";
import type { KubeApi, KubeObject } from "./kube-api.ts";

/** Where operator and control plane run, as the cluster sees it. */
export const OWN_NAMESPACE = "sidelane";

/** A custom resource as tests read it. */
export interface Status extends KubeObject {
  readonly spec: Readonly<Record<string, unknown>>;
  readonly status?: {
    readonly services?: readonly { readonly name: string; readonly endpoints: readonly string[] }[];
    readonly forks?: readonly { readonly name: string; readonly ready: string; readonly image: string }[];
    readonly members?: readonly string[];
    readonly expiresAt?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
    }[];
  };
}

/** What a condition says. */
export function condition(object: Status, type: string) {
  return object.status?.conditions?.find((one) => one.type === type);
}

export class OperatorWorld {
  readonly cluster: Cluster;
  readonly node: FakeNode;
  readonly folder: string;
  control: RunningControl;
  /** What the node says about pods: the first that has a say decides. */
  readonly behaviours: ((pod: Pod) => Behaviour | undefined)[];
  readonly #operators = new Set<RunningOperator>();

  constructor(
    cluster: Cluster,
    node: FakeNode,
    folder: string,
    control: RunningControl,
    behaviours: OperatorWorld["behaviours"],
  ) {
    this.cluster = cluster;
    this.node = node;
    this.folder = folder;
    this.control = control;
    this.behaviours = behaviours;
  }

  static async start(): Promise<OperatorWorld> {
    const cluster = await startCluster({ manifests: definitions() });
    await cluster.api.create("/api/v1/namespaces", { metadata: { name: OWN_NAMESPACE } });
    const behaviours: OperatorWorld["behaviours"] = [];
    const node = await startFakeNode(cluster.api, {
      behave: (pod) => behaviours.map((one) => one(pod)).find((one) => one !== undefined) ?? { kind: "running" },
      // Not of loopback, which EndpointSlices refuse.
      podIp: () => hostAddress(),
    });
    const folder = await mkdtemp(join(tmpdir(), "sidelane-operator-"));
    return new OperatorWorld(cluster, node, folder, await newControl(folder, "127.0.0.1:0", "127.0.0.1:0"), behaviours);
  }

  get api(): KubeApi {
    return this.cluster.api;
  }

  /** One more replica of the operator. */
  async startOperator(log: Log = silentLog): Promise<RunningOperator> {
    const document = {
      control: { url: `http://${this.control.api}` },
      namespace: OWN_NAMESPACE,
      admin: { address: "127.0.0.1:0" },
      certificates: "none",
    };
    const loaded = loadOperatorConfig(JSON.stringify(document), join(this.folder, "operator.yaml"));
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const kube = await connectKube({ kubeconfig: this.cluster.kubeconfig });
    const operator = await startOperator(loaded.config, kube, log, { leaseMs: 3000, renewMs: 300 });
    this.#operators.add(operator);
    return operator;
  }

  /** Ends the control plane until the returned function is called, which starts it at the same addresses with what it had. */
  async stopControl(): Promise<() => Promise<void>> {
    const { api, feed } = this.control;
    await this.control.close();
    return async () => void (this.control = await newControl(this.folder, api, feed));
  }

  async stop(): Promise<void> {
    for (const operator of this.#operators) await operator.close();
    await this.control.close();
    await this.node.stop();
    await this.cluster.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  async stopOperator(operator: RunningOperator): Promise<void> {
    this.#operators.delete(operator);
    await operator.close();
  }

  /** A namespace whose pods get sidecars, with a Deployment and its Service; `port` is that of the pods. */
  async shop(name: string, port = 8080): Promise<void> {
    await this.api.create("/api/v1/namespaces", {
      metadata: { name, labels: { "sidelane.dev/injection": "enabled" } },
    });
    await this.cluster.apply(checkout(name, port));
  }

  async ask(method: string, path: string, body?: object): Promise<{ readonly status: number; readonly body: unknown }> {
    const response = await fetch(`http://${this.control.api}${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
    });
    return { status: response.status, body: await response.json() };
  }

  /** Asks the control plane until the answer is as wanted. */
  async untilAsked(
    path: string,
    accept: (answer: { readonly status: number; readonly body: unknown }) => boolean,
  ): Promise<unknown> {
    const until = performance.now() + 40_000;
    for (;;) {
      const answer = await this.ask("GET", path);
      if (accept(answer)) return answer.body;
      if (performance.now() > until) throw new Error(`${path} stays ${answer.status} ${JSON.stringify(answer.body)}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }

  sandboxes(namespace: string): string {
    return `/apis/sidelane.dev/v1alpha1/namespaces/${namespace}/sandboxes`;
  }

  async createSandbox(namespace: string, name: string, spec: object, labels: object = {}): Promise<void> {
    const metadata = { name, namespace, labels };
    await this.api.create(this.sandboxes(namespace), {
      apiVersion: "sidelane.dev/v1alpha1",
      kind: "Sandbox",
      metadata,
      spec,
    });
  }

  untilSandbox(
    namespace: string,
    name: string,
    accept: (sandbox: Status) => boolean,
    withinMs = 40_000,
  ): Promise<Status> {
    return this.api.until<Status>(this.sandboxes(namespace), name, accept, withinMs);
  }

  /** An app where the node says that pods are; its port. Ends with the test. */
  async startApp(): Promise<number> {
    const server = createServer((_request, response) => void response.end("fork"));
    server.listen(0, hostAddress());
    await once(server, "listening");
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    return (server.address() as AddressInfo).port;
  }

  /** A sidecar of a service that follows the control plane. Ends with the test. */
  async startSidecar(service: string): Promise<void> {
    const path = await mkdtemp(join(this.folder, "sidecar-"));
    const document = {
      service,
      listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1" }],
      table: { control: this.control.feed, keep: join(path, "table.json") },
    };
    const loaded = loadConfig(JSON.stringify(document), join(path, "sidelane.yaml"), {});
    if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
    const sidecar = await prepareSidecar(loaded.config, silentLog);
    onTestFinished(() => sidecar.close());
    await sidecar.open();
  }
}

/** An address of this machine that is not loopback. */
function hostAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((one) => one ?? []);
  const address = all.find(({ family, internal }) => family === "IPv4" && !internal)?.address;
  if (address === undefined) throw new Error("this machine has no address besides loopback");
  return address;
}

async function newControl(folder: string, api: string, feed: string): Promise<RunningControl> {
  const document = {
    store: `file:${join(folder, "store")}`,
    api: { address: api },
    feed: { address: feed },
    auth: "none",
    timeouts: { drainMs: 0, probeMs: 1000, disconnectedMs: 0 },
  };
  const loaded = loadControlConfig(JSON.stringify(document), join(folder, "control.yaml"), {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  return startControl(loaded.config, silentLog, "0.0.0");
}

/** The files of the custom resources. */
function definitions(): readonly string[] {
  const folder = join(import.meta.dirname, "../../../deploy/helm/sidelane/definitions");
  return ["sandboxes.yaml", "routegroups.yaml"].map((file) => join(folder, file));
}

function checkout(namespace: string, port: number): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: { name: checkout, namespace: ${namespace} }
spec:
  selector: { matchLabels: { app: checkout } }
  template:
    metadata: { labels: { app: checkout }, annotations: { sidelane.dev/injected: test } }
    spec:
      containers:
        - { name: app, image: "checkout:1", ports: [{ name: http, containerPort: ${port} }], env: [{ name: MODE, value: live }] }
---
apiVersion: v1
kind: Service
metadata: { name: checkout, namespace: ${namespace} }
spec:
  selector: { app: checkout }
  ports: [{ name: http, port: 80, targetPort: http }]
`;
}
