// Scheduler and kubelet for suites that need no processes: binds every pod that waits for a node and reports of it what the
// suite says, as a kubelet would. Nothing runs; node/ has the one that runs them.
import type { KubeApi, KubeEvent, KubeObject } from "./kube-api.ts";

/** What a node reads of a pod, and a suite of what it reports. */
export interface Pod extends KubeObject {
  readonly spec: {
    readonly nodeName?: string;
    readonly schedulerName?: string;
    readonly restartPolicy?: string;
    readonly serviceAccountName?: string;
    readonly containers: readonly PodContainer[];
    readonly initContainers?: readonly PodContainer[];
    readonly volumes?: readonly { readonly name: string }[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly conditions?: readonly { readonly type: string; readonly status: string }[];
  };
}

/** What tests look at; the rest is there too. */
export interface PodContainer {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly args?: readonly string[];
  readonly restartPolicy?: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}

/** What a node reports of a pod. */
export type Behaviour =
  /** Runs. Without `ready` it is; `ready: false` runs and fails its readiness probe. */
  | { readonly kind: "running"; readonly ready?: boolean }
  /** A container (default: the first) does not run: CrashLoopBackOff, ImagePullBackOff, CreateContainerConfigError ... */
  | {
      readonly kind: "waiting";
      readonly reason: string;
      readonly message?: string;
      readonly container?: string;
      readonly restarts?: number;
    }
  /** Ran to its end, as a job's does; an exit code other than 0 makes it a failure. */
  | { readonly kind: "ended"; readonly exitCode: number }
  /** Bound, and nothing reported yet. */
  | { readonly kind: "pending" }
  /** No node takes it. */
  | { readonly kind: "unschedulable"; readonly message: string };

export interface FakeNodeOptions {
  /** Default: `fake-1`. */
  readonly name?: string;
  /** Default: everything runs and is ready. Asked again for every pod by `reconsider`. */
  readonly behave?: (pod: Pod) => Behaviour;
  /** The address that it reports. Default, and for undefined: one after the other of 10.244.0.0/16. A pod keeps its first. */
  readonly podIp?: (pod: Pod) => string | undefined;
}

/** A node that pods can be on. */
export interface FakeNode {
  readonly name: string;
  /** Asks `behave` about every pod again and reports what is different. Resolves when all is reported. */
  reconsider(): Promise<void>;
  /** Resolves when it has nothing in hand; rejects if something went wrong since. */
  idle(): Promise<void>;
  /** Takes no notice any more; its pods stay as they are. */
  stop(): Promise<void>;
}

/** Registers the node and takes pods, until it is stopped or the API client closed. */
export async function startFakeNode(api: KubeApi, options: FakeNodeOptions = {}): Promise<FakeNode> {
  const { name = "fake-1", behave = () => ({ kind: "running" }) as const } = options;
  await registerNode(api, name);
  const pods = new Map<string, Pod>();
  const addresses = new Map<string, string>();
  const problems: unknown[] = [];
  // One pod's changes are reported one after the other.
  const inHand = new Map<string, Promise<void>>();
  let next = 1;
  const addressOf = (pod: Pod): string => {
    const kept = addresses.get(pod.metadata.uid) ?? pod.status?.podIP;
    if (kept !== undefined) return kept;
    next++;
    const address = options.podIp?.(pod) ?? `10.244.${next >> 8}.${next & 255}`;
    addresses.set(pod.metadata.uid, address);
    return address;
  };
  const tend = async (uid: string): Promise<void> => {
    const pod = pods.get(uid);
    if (pod === undefined) return;
    const path = `/api/v1/namespaces/${pod.metadata.namespace}/pods/${pod.metadata.name}`;
    const { nodeName, schedulerName = "default-scheduler" } = pod.spec;
    const behaviour = behave(pod);
    if (nodeName === undefined && schedulerName === "default-scheduler") {
      if (behaviour.kind === "unschedulable") {
        await report(api, path, pod, unschedulable(behaviour.message));
      } else {
        const target = { apiVersion: "v1", kind: "Node", name };
        await api.create(`${path}/binding`, { metadata: { name: pod.metadata.name }, target });
      }
    } else if (nodeName === name) {
      if (pod.metadata.deletionTimestamp !== undefined) {
        await api.delete(path, { gracePeriodSeconds: 0, preconditions: { uid } });
      } else if (pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed") {
        // Over is over, whatever `behave` says by now.
      } else if (behaviour.kind !== "unschedulable" && behaviour.kind !== "pending") {
        await report(api, path, pod, statusOf(pod, behaviour, addressOf(pod)));
      }
    }
  };
  const enqueue = (uid: string): Promise<void> => {
    const done = (inHand.get(uid) ?? Promise.resolve())
      .then(async () => tend(uid))
      .catch((error: unknown) => {
        // Gone, or changed since: the watch tells.
        const { status } = error as { readonly status?: number };
        if (status !== 404 && status !== 409) problems.push(error);
      });
    inHand.set(uid, done);
    void done.then(() => inHand.get(uid) === done && inHand.delete(uid));
    return done;
  };
  const stop = api.follow<Pod>("/api/v1/pods", ({ type, object }: KubeEvent<Pod>) => {
    const { uid } = object.metadata;
    if (type === "DELETED") {
      pods.delete(uid);
      addresses.delete(uid);
      return;
    }
    pods.set(uid, object);
    void enqueue(uid);
  });
  const idle = async (): Promise<void> => {
    while (inHand.size > 0) await Promise.all(inHand.values());
    if (problems.length === 0) return;
    const all = problems.splice(0);
    throw new AggregateError(all, `node ${name}: ${String(all[0])}`);
  };
  return {
    name,
    idle,
    reconsider: async () => {
      await Promise.all([...pods.keys()].map((uid) => enqueue(uid)));
      await idle();
    },
    stop: async () => {
      stop();
      await Promise.all(inHand.values());
    },
  };
}

async function registerNode(api: KubeApi, name: string): Promise<void> {
  const labels = { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" };
  const node = { apiVersion: "v1", kind: "Node", metadata: { name, labels }, spec: {} };
  await api.create("/api/v1/nodes", node).catch((error: { readonly status?: number }) => {
    if (error.status !== 409) throw error;
  });
  const room = { cpu: "64", memory: "256Gi", pods: "1000" };
  const ready = { type: "Ready", status: "True", reason: "KubeletReady", message: "plays a kubelet" };
  const status = { capacity: room, allocatable: room, conditions: [ready] };
  await api.patch(`/api/v1/nodes/${name}/status`, "strategic", { status });
}

/** Writes the status unless it is so already. */
async function report(api: KubeApi, path: string, pod: Pod, status: object): Promise<void> {
  if (covers(pod.status ?? {}, status)) return;
  const { uid } = pod.metadata;
  await api.patch(`${path}/status`, "merge", { metadata: { uid }, status });
}

/** Whether everything in `wanted` is in `now`, whatever else there is. */
function covers(now: unknown, wanted: unknown): boolean {
  if (Array.isArray(wanted)) {
    return Array.isArray(now) && now.length === wanted.length && wanted.every((item, i) => covers(now[i], item));
  }
  if (typeof wanted !== "object" || wanted === null) return now === wanted;
  if (typeof now !== "object" || now === null) return false;
  return Object.entries(wanted).every(([key, value]) => covers((now as Record<string, unknown>)[key], value));
}

function unschedulable(message: string): object {
  const condition = { type: "PodScheduled", status: "False", reason: "Unschedulable", message };
  return { phase: "Pending", conditions: [condition] };
}

const isSidecar = ({ restartPolicy }: PodContainer): boolean => restartPolicy === "Always";

function statusOf(
  pod: Pod,
  behaviour: Extract<Behaviour, { kind: "running" | "waiting" | "ended" }>,
  ip: string,
): object {
  const { containers, initContainers = [] } = pod.spec;
  const stuck = behaviour.kind === "waiting" ? (behaviour.container ?? containers[0]?.name) : undefined;
  const stuckInit = initContainers.findIndex(({ name }) => name === stuck);
  const of = (container: PodContainer, state: object, ready: boolean, started: boolean, restartCount = 0): object => ({
    name: container.name,
    image: container.image,
    imageID: `docker-pullable://${container.image}`,
    containerID: `fake://${pod.metadata.uid}/${container.name}`,
    ...{ state, ready, started, restartCount },
  });
  // The pod's own time, so that the same report is the same status.
  const startedAt = pod.metadata.creationTimestamp;
  const ended = (exitCode: number): object => ({
    terminated: { exitCode, reason: exitCode === 0 ? "Completed" : "Error", startedAt, finishedAt: startedAt },
  });
  const running = { running: { startedAt } };
  const waiting = (reason: string, message?: string): object => ({
    waiting: { reason, ...(message === undefined ? {} : { message }) },
  });
  const stuckState = (container: PodContainer): object => {
    const { reason, message, restarts } = behaviour as Extract<Behaviour, { kind: "waiting" }>;
    const crashed = reason === "CrashLoopBackOff" ? { lastState: ended(1) } : {};
    const count = restarts ?? (reason === "CrashLoopBackOff" ? 3 : 0);
    return { ...of(container, waiting(reason, message), false, false, count), ...crashed };
  };
  const exitCode = behaviour.kind === "ended" ? behaviour.exitCode : 0;
  const initContainerStatuses = initContainers.map((container, i) => {
    if (i === stuckInit) return stuckState(container);
    if (stuckInit !== -1 && i > stuckInit) return of(container, waiting("PodInitializing"), false, false);
    if (!isSidecar(container)) return of(container, ended(0), true, false);
    return behaviour.kind === "ended" ? of(container, ended(0), false, false) : of(container, running, true, true);
  });
  const containerStatuses = containers.map((container) => {
    if (stuckInit !== -1) return of(container, waiting("PodInitializing"), false, false);
    if (container.name === stuck) return stuckState(container);
    if (behaviour.kind === "ended") return of(container, ended(exitCode), false, false);
    return of(container, running, !(behaviour.kind === "running" && behaviour.ready === false), true);
  });
  const ready = behaviour.kind === "running" && behaviour.ready !== false;
  const neverRan = stuckInit !== -1 || (behaviour.kind === "waiting" && behaviour.reason !== "CrashLoopBackOff");
  const over = exitCode === 0 ? "Succeeded" : "Failed";
  const condition = (type: string, value: boolean, reason = ""): object => ({
    type,
    status: value ? "True" : "False",
    ...(value || reason === "" ? {} : { reason }),
  });
  const notReady = behaviour.kind === "ended" ? "PodCompleted" : "ContainersNotReady";
  return {
    phase: behaviour.kind === "ended" ? over : neverRan ? "Pending" : "Running",
    conditions: [
      condition("PodScheduled", true),
      condition("Initialized", stuckInit === -1, "ContainersNotInitialized"),
      condition("ContainersReady", ready, notReady),
      condition("Ready", ready, notReady),
    ],
    ...{ podIP: ip, podIPs: [{ ip }], hostIP: "192.0.2.1", startTime: startedAt },
    containerStatuses,
    ...(initContainers.length === 0 ? {} : { initContainerStatuses }),
  };
}
