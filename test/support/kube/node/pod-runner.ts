// One pod on the test node, from its binding to its removal: network, volumes, init containers in order (native sidecars stay),
// containers, status, and the end: containers first, sidecars last in reverse.
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { type KubeApi, KubeRefusal } from "../kube-api.ts";
import { type Bind, ContainedProcess } from "./contained.ts";
import { ContainerLoop } from "./container-loop.ts";
import { CannotStart, type Own, environmentOf, expand } from "./fields.ts";
import type { Image, Images } from "./images.ts";
import type { NodeNetwork, PodNetwork } from "./network.ts";
import type { Container, ContainerStatus, Pod, SecurityContext } from "./pod.ts";
import { type Parts, statusOf } from "./pod-status.ts";
import { Volumes } from "./volumes.ts";

export interface Surroundings {
  readonly api: KubeApi;
  readonly network: NodeNetwork;
  readonly images: Images;
  /** For all that the node writes. */
  readonly folder: string;
  readonly backOffMs: number;
  /** The address and port of the Service `kubernetes`. */
  readonly kubernetes: { readonly host: string; readonly port: number };
}

export class PodRunner {
  readonly #at: Surroundings;
  readonly #folder: string;
  readonly #volumes: Volumes;
  readonly #stopping = new AbortController();
  readonly #inits: ContainerLoop[] = [];
  readonly #mains: ContainerLoop[] = [];
  readonly #ran: Promise<void>;
  #pod: Pod;
  #network: PodNetwork | undefined;
  #waiting = "ContainerCreating";
  #isInitialized = false;
  #published = "";
  #publishing: Promise<void> | undefined;
  #ending: Promise<void> | undefined;

  constructor(pod: Pod, at: Surroundings) {
    this.#pod = pod;
    this.#at = at;
    this.#folder = join(at.folder, pod.metadata.uid ?? pod.metadata.name);
    this.#volumes = new Volumes(at.api, join(this.#folder, "volumes"));
    this.#ran = this.#run().catch((error: unknown) => {
      if (!this.#stopping.signal.aborted)
        process.stderr.write(`test node, pod ${pod.metadata.name}: ${String(error)}\n`);
    });
  }

  loop(container: string): ContainerLoop | undefined {
    return [...this.#inits, ...this.#mains].find((one) => one.container.name === container);
  }

  logFile(container: string): string {
    return join(this.#folder, `${container}.log`);
  }

  /** The pod is as it says now. */
  update(pod: Pod): void {
    this.#pod = pod;
    if (this.#network !== undefined && this.#ending === undefined) void this.#volumes.write(this.#own).catch(() => {});
    if (pod.metadata.deletionTimestamp !== undefined) {
      void this.end(
        (pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30) * 1000,
        true,
      );
    } else {
      this.#publish();
    }
  }

  /** Stops all of it and takes its things away; `tell`: and removes the Pod from the API server. */
  end(graceMs: number, tell: boolean): Promise<void> {
    this.#ending ??= this.#end(graceMs, tell);
    return this.#ending;
  }

  get #own(): Own {
    const { nodeAddress } = this.#at.network;
    return { pod: this.#pod, podIP: this.#network?.address ?? nodeAddress, hostIP: nodeAddress };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    await mkdir(join(this.#folder, "volumes"), { recursive: true });
    const { network } = this.#at;
    this.#network =
      this.#pod.spec.hostNetwork === true
        ? { namespace: network.id, address: network.nodeAddress, remove: async () => {} }
        : await network.addPod();
    this.#publish();
    await this.#mount();
    if (signal.aborted) return;
    void this.#refresh();
    const { restartPolicy = "Always", initContainers = [], containers } = this.#pod.spec;
    for (const container of initContainers) {
      const isSidecar = container.restartPolicy === "Always";
      const loop = this.#start(container, isSidecar ? "always" : restartPolicy === "Never" ? "never" : "on-failure");
      this.#inits.push(loop);
      await (isSidecar ? loop.started : loop.done);
      if (signal.aborted) return;
      if (!isSidecar && loop.ending?.exitCode !== 0) {
        await this.#endSidecars();
        return;
      }
    }
    this.#isInitialized = true;
    const restarts = ({ Always: "always", OnFailure: "on-failure", Never: "never" } as const)[restartPolicy];
    this.#mains.push(...containers.map((container) => this.#start(container, restarts)));
    this.#publish();
    await Promise.all(this.#mains.map(({ done }) => done));
    if (!signal.aborted) await this.#endSidecars();
  }

  /** When a pod has done its work, its sidecars go, the last first. */
  async #endSidecars(): Promise<void> {
    for (const loop of this.#inits.toReversed()) await loop.stop(5000);
    this.#publish();
  }

  /** Until all that its volumes need is there. */
  async #mount(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      try {
        await this.#volumes.write(this.#own);
        return;
      } catch (error) {
        this.#waiting = error instanceof Error ? error.message : String(error);
        this.#publish();
        await pause(500, undefined, { signal: this.#stopping.signal }).catch(() => {});
      }
    }
  }

  /** What objects say comes to the volumes while the pod lives; the kubelet takes a minute. */
  async #refresh(): Promise<void> {
    while (!this.#stopping.signal.aborted) {
      await pause(3000, undefined, { signal: this.#stopping.signal }).catch(() => {});
      if (!this.#stopping.signal.aborted) await this.#volumes.write(this.#own).catch(() => {});
    }
  }

  #start(container: Container, restarts: "always" | "on-failure" | "never"): ContainerLoop {
    return new ContainerLoop({
      container,
      restarts,
      podIP: this.#own.podIP,
      graceMs: (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000,
      backOffMs: this.#at.backOffMs,
      launch: () => this.#launch(container),
      lastWords: async () => (await readFile(this.logFile(container.name), "utf8").catch(() => "")).slice(-2000),
      changed: () => this.#publish(),
    });
  }

  async #launch(container: Container): Promise<ContainedProcess> {
    const { spec, metadata } = this.#pod;
    const image = this.#at.images(container.image);
    if (image === undefined) {
      throw new CannotStart(
        "ErrImagePull",
        `failed to pull image "${container.image}": the test node has no such image`,
      );
    }
    const security: SecurityContext = { ...spec.securityContext, ...container.securityContext };
    const user = userOf(security, image);
    const hostname = spec.hostname ?? metadata.name;
    const { kubernetes } = this.#at;
    const env = await environmentOf(this.#at.api, this.#own, container, {
      PATH: "/image/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOME: user === 0 ? "/root" : "/",
      HOSTNAME: hostname,
      KUBERNETES_SERVICE_HOST: kubernetes.host,
      KUBERNETES_SERVICE_PORT: String(kubernetes.port),
      KUBERNETES_SERVICE_PORT_HTTPS: String(kubernetes.port),
    });
    const root = await mkdtemp(join(this.#folder, `${container.name}-`));
    const expanded = (texts: readonly string[]): readonly string[] => texts.map((text) => expand(text, env));
    return new ContainedProcess({
      namespace: this.#network?.namespace ?? "",
      root,
      argv: [...expanded(container.command ?? image.entrypoint), ...expanded(container.args ?? [])],
      env,
      workingDir: container.workingDir ?? "/",
      user,
      group: security.runAsGroup ?? user,
      security,
      binds: this.#bindsOf(container),
      etc: this.#etcOf(hostname),
      logFile: this.logFile(container.name),
    });
  }

  #bindsOf(container: Container): readonly Bind[] {
    return (container.volumeMounts ?? []).map(({ name, mountPath, subPath, readOnly = false }) => {
      const volume = this.#pod.spec.volumes?.find((one) => one.name === name);
      if (volume === undefined) throw new CannotStart("CreateContainerConfigError", `no volume "${name}"`);
      const path = this.#volumes.path(volume);
      const isOfObjects = volume.emptyDir === undefined && volume.hostPath === undefined;
      return {
        from: subPath === undefined ? path : join(path, subPath),
        to: mountPath,
        readOnly: readOnly || isOfObjects,
      };
    });
  }

  #etcOf(hostname: string): Readonly<Record<string, string>> {
    const namespace = this.#pod.metadata.namespace ?? "default";
    const aliases = (this.#pod.spec.hostAliases ?? []).map(({ ip, hostnames = [] }) => `${ip}\t${hostnames.join(" ")}`);
    return {
      hosts: ["127.0.0.1\tlocalhost", "::1\tlocalhost", `${this.#own.podIP}\t${hostname}`, ...aliases, ""].join("\n"),
      hostname: `${hostname}\n`,
      "resolv.conf": [
        `nameserver ${this.#at.network.hostAddress}`,
        `search ${namespace}.svc.cluster.local svc.cluster.local cluster.local`,
        "options ndots:5",
        "",
      ].join("\n"),
    };
  }

  async #end(graceMs: number, tell: boolean): Promise<void> {
    this.#stopping.abort();
    const endMs = performance.now() + graceMs;
    const isSidecar = ({ container }: ContainerLoop): boolean => container.restartPolicy === "Always";
    const first = [...this.#mains, ...this.#inits.filter((one) => !isSidecar(one))];
    await Promise.all(first.map((one) => one.stop(graceMs)));
    for (const one of this.#inits.filter(isSidecar).toReversed()) {
      await one.stop(graceMs === 0 ? 0 : Math.max(2000, endMs - performance.now()));
    }
    await this.#ran;
    this.#publish();
    await this.#publishing;
    await this.#network?.remove();
    if (tell) await this.#forget();
    await rm(this.#folder, { recursive: true, force: true, maxRetries: 3 });
  }

  async #forget(): Promise<void> {
    const { namespace, name, uid } = this.#pod.metadata;
    const options = { gracePeriodSeconds: 0, preconditions: { uid } };
    await this.#at.api.delete(`/api/v1/namespaces/${namespace}/pods/${name}`, options).catch((error: unknown) => {
      // Gone, or another one of that name already.
      if (!(error instanceof KubeRefusal)) throw error;
    });
  }

  /** Tells the API server what has changed; one telling at a time, the last state always. */
  #publish(): void {
    this.#publishing ??= this.#tell().finally(() => (this.#publishing = undefined));
  }

  async #tell(): Promise<void> {
    const { namespace, name, uid } = this.#pod.metadata;
    for (let failures = 0; failures < 20;) {
      const status = statusOf(this.#pod, this.#parts());
      const text = JSON.stringify(status);
      if (text === this.#published) return;
      try {
        await this.#at.api.patch(`/api/v1/namespaces/${namespace}/pods/${name}/status`, "merge", {
          metadata: { uid },
          status,
        });
        this.#published = text;
      } catch (error) {
        if (error instanceof KubeRefusal && (error.status === 404 || error.status === 409)) return;
        failures += 1;
        await pause(200);
      }
    }
  }

  #parts(): Parts {
    const { initContainers = [], containers, hostNetwork = false } = this.#pod.spec;
    const statuses = (loops: readonly ContainerLoop[], all: readonly Container[]): readonly ContainerStatus[] =>
      all.map((container, at) => loops[at]?.status ?? this.#unstarted(container));
    return {
      podIP: this.#network?.address,
      hostIP: this.#at.network.nodeAddress,
      hostNetwork,
      isInitialized: this.#isInitialized,
      inits: statuses(this.#inits, initContainers),
      mains: statuses(this.#mains, containers),
      allDone: this.#mains.length > 0 && this.#mains.every(({ ending }) => ending !== undefined),
      mayRestart: (this.#pod.spec.restartPolicy ?? "Always") === "Always" && !this.#stopping.signal.aborted,
    };
  }

  #unstarted({ name, image }: Container): ContainerStatus {
    const isFirst = this.#inits.length === 0;
    const reason = isFirst ? "ContainerCreating" : "PodInitializing";
    const message = isFirst && this.#waiting !== reason ? { message: this.#waiting } : {};
    const state = { waiting: { reason, ...message } };
    return {
      name,
      image,
      imageID: "",
      containerID: "",
      restartCount: 0,
      ready: false,
      started: false,
      state,
      lastState: {},
    };
  }
}

function userOf({ runAsUser, runAsNonRoot }: SecurityContext, image: Image): number {
  const user = runAsUser ?? image.user;
  if (runAsNonRoot === true && user === 0) {
    throw new CannotStart("CreateContainerConfigError", "container has runAsNonRoot and image will run as root");
  }
  return user;
}
