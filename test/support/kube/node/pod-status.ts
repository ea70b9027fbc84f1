// A pod's status from its containers'.
import type { Condition, ContainerStatus, Pod, PodStatus } from "./pod.ts";

export interface Parts {
  readonly podIP: string | undefined;
  readonly hostIP: string;
  readonly hostNetwork: boolean;
  readonly isInitialized: boolean;
  readonly inits: readonly ContainerStatus[];
  readonly mains: readonly ContainerStatus[];
  /** Each container has ended for good. */
  readonly allDone: boolean;
  readonly mayRestart: boolean;
}

const own = ["Initialized", "ContainersReady", "Ready"];
const exitOf = ({ state }: ContainerStatus): number | undefined =>
  "terminated" in state ? state.terminated.exitCode : undefined;

export function statusOf(pod: Pod, parts: Parts): PodStatus & Readonly<Record<string, unknown>> {
  const { podIP, hostIP, inits, mains } = parts;
  const phase = phaseOf(pod, parts);
  const before = pod.status?.conditions ?? [];
  const sidecars = inits.filter(({ name }) => isSidecar(pod, name));
  const unready = [...mains, ...sidecars].filter(({ ready }) => !ready).map(({ name }) => name);
  const isEnded = phase === "Succeeded" || phase === "Failed";
  const allReady = unready.length === 0 && parts.isInitialized && !isEnded;
  const gates = (pod.spec.readinessGates ?? []).filter(
    ({ conditionType }) => before.find(({ type }) => type === conditionType)?.status !== "True",
  );
  const unreadyWords = isEnded
    ? { reason: phase === "Failed" ? "PodFailed" : "PodCompleted" }
    : { reason: "ContainersNotReady", message: `containers with unready status: [${unready.join(" ")}]` };
  const gateWords = {
    reason: "ReadinessGatesNotReady",
    message: gates.map(({ conditionType }) => conditionType).join(", "),
  };
  const conditions = [
    condition(before, "Initialized", parts.isInitialized, { reason: "ContainersNotInitialized" }),
    condition(before, "ContainersReady", allReady, unreadyWords),
    condition(before, "Ready", allReady && gates.length === 0, allReady ? gateWords : unreadyWords),
  ];
  return {
    phase,
    hostIP,
    hostIPs: [{ ip: hostIP }],
    ...(podIP !== undefined && { podIP, podIPs: [{ ip: podIP }] }),
    conditions: [...before.filter(({ type }) => !own.includes(type)), ...conditions],
    initContainerStatuses: inits,
    containerStatuses: mains,
  };
}

function isSidecar(pod: Pod, container: string): boolean {
  return (
    pod.spec.initContainers?.some(({ name, restartPolicy }) => name === container && restartPolicy === "Always") ??
    false
  );
}

function phaseOf(pod: Pod, { inits, mains, allDone, mayRestart, isInitialized }: Parts): string {
  const neverAgain = pod.spec.restartPolicy === "Never";
  if (neverAgain && inits.some((one) => !isSidecar(pod, one.name) && (exitOf(one) ?? 0) !== 0)) return "Failed";
  if (!isInitialized) return "Pending";
  if (allDone && !mayRestart) return mains.every((one) => exitOf(one) === 0) ? "Succeeded" : "Failed";
  const isCreating = ({ state, restartCount }: ContainerStatus): boolean =>
    "waiting" in state && restartCount === 0 && state.waiting.reason !== "CrashLoopBackOff";
  return mains.every(isCreating) ? "Pending" : "Running";
}

function condition(
  before: readonly Condition[],
  type: string,
  holds: boolean,
  otherwise: { readonly reason: string; readonly message?: string },
): Condition {
  const status = holds ? "True" : "False";
  const last = before.find((one) => one.type === type);
  const lastTransitionTime = last?.status === status ? last.lastTransitionTime : undefined;
  return {
    type,
    status,
    ...(!holds && otherwise),
    lastTransitionTime: lastTransitionTime ?? `${new Date().toISOString().slice(0, 19)}Z`,
  };
}
