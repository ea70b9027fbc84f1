// A small node for tests: it plays the scheduler, kubelet, kube-proxy and cluster DNS of one node for a real API server, where no
// container runtime is to be had. Each pod has a network namespace with an address that is routed; each container is a process
// tree in namespaces of its own (processes, mounts) with its user, capabilities, volumes, environment and probes; Services are
// iptables rules. So interception, injection and routing run as they do in a cluster, on this machine's kernel.
//
// What differs from a real node, so what tests on it cannot show:
// - Images are programs of this repository on this machine's Node (`images.ts`): no layers, no pull, no own libc. The root is a
//   fresh tmpfs with this machine's /usr; shareProcessNamespace, hostPID, hostIPC, seccomp, AppArmor and SELinux are not applied.
// - One node. Pods are bound to it as they come: no resources, affinity, taints, priorities, preemption, PodDisruptionBudgets.
//   A DaemonSet has its pod all the same.
// - Requests and limits bind nothing: no cgroups, no OOM kill, no eviction, no activeDeadlineSeconds.
// - IPv4 only between pods; inside a pod there is ::1. UDP Services work, SCTP does not.
// - Services: ClusterIP, headless and `kubernetes`. No NodePort, LoadBalancer, ExternalName, session affinity, traffic policy,
//   topology. NetworkPolicies are not enforced. Nothing outside this machine can be reached from a pod.
// - Volumes: emptyDir, hostPath, configMap, secret, downwardAPI, projected. No claims, no fsGroup, no file modes: files are 0644.
//   They follow their objects within 3 s, not a minute.
// - Back-off starts at `backOffMs`, not 10 s; a container that is not up yet is probed twice a second if its period is longer.
//   Sidecars of a finished Job have 5 s to end.
// - No API of the kubelet: `kubectl logs`, `exec`, `port-forward` and `attach` do not work; `logs` and `exec` here do. No events.
import { mkdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type KubeApi, KubeRefusal } from "../kube-api.ts";
import { type Images, imagesOfTests } from "./images.ts";
import { Names, addressesOf } from "./names.ts";
import type { NodeNetwork } from "./network.ts";
import { type EndpointSlice, type Pod, type Service, keyOf } from "./pod.ts";
import { PodRunner, type Surroundings } from "./pod-runner.ts";
import { serviceRules } from "./service-rules.ts";

export interface NodeOptions {
  /** As an administrator. The API server listens on all addresses. */
  readonly api: KubeApi;
  readonly network: NodeNetwork;
  readonly images?: Images;
  /** Default 1000. */
  readonly backOffMs?: number;
}

export class TestNode {
  readonly name: string;
  readonly #api: KubeApi;
  readonly #apiServer: string;
  readonly #network: NodeNetwork;
  readonly #folder: string;
  readonly #images: Images;
  readonly #backOffMs: number;
  readonly #runners = new Map<string, PodRunner>();
  readonly #ending = new Set<Promise<void>>();
  readonly #services = new Map<string, Service>();
  readonly #slices = new Map<string, EndpointSlice>();
  readonly #closers: (() => void)[] = [];
  #surroundings: Surroundings | undefined;
  #ruling: Promise<void> | undefined;
  #rules = "";

  private constructor({ api, network, images = imagesOfTests, backOffMs = 1000 }: NodeOptions) {
    this.name = network.id;
    this.#api = api;
    this.#apiServer = `${network.hostAddress}:${new URL(api.server).port}`;
    this.#network = network;
    this.#folder = join(tmpdir(), network.id);
    this.#images = images;
    this.#backOffMs = backOffMs;
  }

  /** The network is made and closed by the caller; it can be asked for names and pods as long as this is open. */
  static async start(options: NodeOptions): Promise<TestNode> {
    const node = new TestNode(options);
    try {
      await node.#start();
    } catch (error) {
      await node.close();
      throw error;
    }
    return node;
  }

  /** What a container has said on both outputs, since its pod began. */
  async logs(pod: string, container: string): Promise<string> {
    const file = this.#find(pod)?.logFile(container);
    return file === undefined ? "" : readFile(file, "utf8").catch(() => "");
  }

  /** To a container's first process. `pod`: namespace/name. */
  async signal(pod: string, container: string, signal: NodeJS.Signals): Promise<void> {
    const running = this.#find(pod)?.loop(container)?.process;
    if (running === undefined) throw new Error(`${pod} has no running container ${container}`);
    await running.signal(signal);
  }

  /** Runs a command in a container, as its user. */
  async exec(
    pod: string,
    container: string,
    argv: readonly string[],
  ): Promise<{ readonly code: number; readonly output: string }> {
    const running = this.#find(pod)?.loop(container)?.process;
    if (running === undefined) throw new Error(`${pod} has no running container ${container}`);
    return running.exec(argv);
  }

  /** All pods end at once, without grace; the API server keeps what it has. The network stays. */
  async close(): Promise<void> {
    for (const close of this.#closers) close();
    await Promise.all([...this.#runners.values()].map((runner) => runner.end(0, false)));
    await Promise.all(this.#ending);
    await this.#ruling;
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  #find(pod: string): PodRunner | undefined {
    return this.#runners.get(pod);
  }

  async #start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await this.#register();
    this.#follow<Service>("/api/v1/services", this.#services);
    this.#follow<EndpointSlice>("/apis/discovery.k8s.io/v1/endpointslices", this.#slices);
    const { spec } = await this.#api.get<Service>("/api/v1/namespaces/default/services/kubernetes");
    this.#surroundings = {
      api: this.#api,
      network: this.#network,
      images: this.#images,
      folder: this.#folder,
      backOffMs: this.#backOffMs,
      kubernetes: { host: spec.clusterIP ?? "", port: spec.ports?.[0]?.port ?? 443 },
    };
    const names = await Names.listen(this.#network.hostAddress, (name) =>
      addressesOf(name, this.#services, [...this.#slices.values()]),
    );
    this.#closers.push(() => names.close());
    const stop = this.#api.follow("/api/v1/pods", ({ type, object }) => {
      const pod = object as unknown as Pod;
      if (type === "DELETED") this.#drop(pod);
      else this.#take(pod);
    });
    this.#closers.push(stop);
  }

  async #register(): Promise<void> {
    const { name } = this;
    const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64" };
    await this.#api.create("/api/v1/nodes", { apiVersion: "v1", kind: "Node", metadata: { name, labels } });
    const beat = async (): Promise<void> => {
      const lastHeartbeatTime = `${new Date().toISOString().slice(0, 19)}Z`;
      await this.#api.patch(`/api/v1/nodes/${name}/status`, "merge", {
        status: {
          capacity: { cpu: "64", memory: "256Gi", pods: "250" },
          allocatable: { cpu: "64", memory: "256Gi", pods: "250" },
          addresses: [{ type: "InternalIP", address: this.#network.nodeAddress }],
          nodeInfo: nodeInfo,
          conditions: [
            { type: "Ready", status: "True", reason: "KubeletReady", message: "the test node", lastHeartbeatTime },
          ],
        },
      });
    };
    await beat();
    const timer = setInterval(() => void beat().catch(() => {}), 10_000);
    this.#closers.push(() => clearInterval(timer));
  }

  #follow<T extends Service | EndpointSlice>(path: string, into: Map<string, T>): void {
    const stop = this.#api.follow(path, ({ type, object }) => {
      const item = object as unknown as T;
      if (type === "DELETED") into.delete(keyOf(item));
      else into.set(keyOf(item), item);
      this.#rule();
    });
    this.#closers.push(stop);
  }

  /** Brings the rules to what Services and slices say; one at a time, the last state always. */
  #rule(): void {
    this.#ruling ??= (async () => {
      for (;;) {
        const rules = serviceRules(this.#services.values(), [...this.#slices.values()], this.#apiServer);
        if (rules === this.#rules) return;
        await this.#network.restore(rules);
        this.#rules = rules;
      }
    })()
      .catch((error: unknown) => void process.stderr.write(`test node: ${String(error)}\n`))
      .finally(() => (this.#ruling = undefined));
  }

  #take(pod: Pod): void {
    const { nodeName, schedulingGates = [] } = pod.spec;
    const isOver = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
    const key = keyOf(pod);
    const runner = this.#runners.get(key);
    if (runner !== undefined) return runner.update(pod);
    if (pod.metadata.deletionTimestamp !== undefined) return;
    if (nodeName === undefined && schedulingGates.length === 0) return void this.#bind(pod);
    if (nodeName !== this.name || isOver || this.#surroundings === undefined) return;
    this.#runners.set(key, new PodRunner(pod, this.#surroundings));
  }

  async #bind({ metadata: { namespace, name, uid } }: Pod): Promise<void> {
    const binding = {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace, uid },
      target: { apiVersion: "v1", kind: "Node", name: this.name },
    };
    await this.#api.create(`/api/v1/namespaces/${namespace}/pods/${name}/binding`, binding).catch((error: unknown) => {
      // Bound by an earlier word of the watch, or gone.
      if (!(error instanceof KubeRefusal)) process.stderr.write(`test node: ${String(error)}\n`);
    });
  }

  /** The pod is gone from the API server; what is left of it goes too. */
  #drop(pod: Pod): void {
    const key = keyOf(pod);
    const runner = this.#runners.get(key);
    if (runner === undefined) return;
    this.#runners.delete(key);
    const ending = runner.end(0, false).finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}

const nodeInfo = {
  machineID: "",
  systemUUID: "",
  bootID: "",
  kernelVersion: "",
  osImage: "test node",
  containerRuntimeVersion: "test://1",
  kubeletVersion: "v1.34.0",
  kubeProxyVersion: "",
  operatingSystem: "linux",
  architecture: "amd64",
};
