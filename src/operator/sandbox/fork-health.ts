// How a fork's pods are, from what the API server says about them, in sentences that somebody can act on. Pure.

import { isMap } from "../../base/is-map.ts";
import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import type { WorkloadKind } from "../../kube/sandbox-resource.ts";

/** One fork's pods. */
export interface ForkHealth {
  /** `1/2`: pods that are ready, of those that are wanted. */
  readonly ready: string;
  /** Undefined: all is as it should be. */
  readonly problem: HealthProblem | undefined;
}

export interface HealthProblem {
  readonly reason: "CrashLoop" | "ImagePull" | "BadConfig" | "Unschedulable" | "PodsRefused" | "PodFailed" | "NotReady";
  /** A sentence: what is wrong, where, what to do. */
  readonly message: string;
}

/** What is known about a fork. */
export interface ForkState {
  readonly kind: WorkloadKind;
  /** Live; undefined: not there yet. */
  readonly workload: KubernetesObject | undefined;
  readonly pods: readonly KubernetesObject[];
}

export function forkHealth({ kind, workload, pods }: ForkState): ForkHealth {
  const live = newestOf(pods.filter(({ metadata }) => metadata.deletionTimestamp === undefined));
  const readyPods = live.filter(isPodReady).length;
  const problems = live.flatMap(podProblems).toSorted((a, b) => rank(a) - rank(b));
  const [worst] = problems;
  if (kind === "CronJob" || kind === "Job") {
    // Nothing that listens all the time: a run that fails is what there is to tell.
    const wanted = kind === "Job" ? Number(workload?.spec?.["completions"] ?? 1) : live.length;
    const done = kind === "Job" ? Number(workload?.status?.["succeeded"] ?? 0) : readyPods;
    return { ready: `${done}/${wanted}`, problem: done >= wanted && kind === "Job" ? undefined : worst };
  }
  const wanted = kind === "Pod" ? 1 : Number(workload?.spec?.["replicas"] ?? 1);
  const ready = `${Math.min(readyPods, wanted)}/${wanted}`;
  if (worst !== undefined && worst.reason !== "NotReady") return { ready, problem: worst };
  const refused = workload === undefined ? undefined : podsRefused(workload);
  if (refused !== undefined) return { ready, problem: refused };
  if (readyPods >= wanted && isObserved(workload)) return { ready, problem: undefined };
  const message = `${readyPods} of ${wanted} pods of ${kind}/${workload?.metadata.name ?? "the fork"} are ready`;
  return { ready, problem: worst ?? { reason: "NotReady", message } };
}

/** Labels that tell the pods of one template from those of another. */
const HASHES = ["pod-template-hash", "controller-revision-hash"];

/**
 * The pods of the newest template: while they do not get ready a Deployment keeps those of the one before, which say nothing about
 * what the sandbox wants now.
 */
function newestOf(pods: readonly KubernetesObject[]): readonly KubernetesObject[] {
  const hashOf = ({ metadata: { labels = {} } }: KubernetesObject): string =>
    HASHES.map((label) => labels[label]).find((hash) => hash !== undefined) ?? "";
  const madeAt = ({ metadata }: KubernetesObject): string => metadata.creationTimestamp ?? "";
  const [newest] = pods.toSorted((a, b) => (madeAt(a) < madeAt(b) ? 1 : madeAt(a) > madeAt(b) ? -1 : 0));
  return newest === undefined ? pods : pods.filter((pod) => hashOf(pod) === hashOf(newest));
}

const order: readonly HealthProblem["reason"][] = [
  "ImagePull",
  "BadConfig",
  "CrashLoop",
  "Unschedulable",
  "PodsRefused",
  "PodFailed",
  "NotReady",
];

function rank({ reason }: HealthProblem): number {
  return order.indexOf(reason);
}

/** The controller has seen the newest spec: what it says about pods is about that. */
function isObserved(workload: KubernetesObject | undefined): boolean {
  if (workload === undefined) return false;
  const observed = workload.status?.["observedGeneration"];
  return observed === undefined || Number(observed) >= (workload.metadata.generation ?? 0);
}

function podsRefused(workload: KubernetesObject): HealthProblem | undefined {
  const failure = maps(workload.status?.["conditions"]).find(
    ({ type, status }) => type === "ReplicaFailure" && status === "True",
  );
  if (failure === undefined) return undefined;
  const message = `no pods can be made for ${workload.kind}/${workload.metadata.name}: ${String(failure["message"])}`;
  return { reason: "PodsRefused", message };
}

function isPodReady(pod: KubernetesObject): boolean {
  return maps(pod.status?.["conditions"]).some(({ type, status }) => type === "Ready" && status === "True");
}

const imageReasons = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "InvalidImageName",
  "ErrImageNeverPull",
  "ImageInspectError",
]);
const configReasons = new Set(["CreateContainerConfigError", "CreateContainerError", "RunContainerError"]);

function podProblems(pod: KubernetesObject): readonly HealthProblem[] {
  const { namespace = "", name } = pod.metadata;
  const status = pod.status ?? {};
  const containers = [...maps(status["initContainerStatuses"]), ...maps(status["containerStatuses"])];
  const found = containers.flatMap((container) => containerProblem(namespace, name, container));
  const conditions = maps(status["conditions"]);
  const unscheduled = conditions.find(({ type, status: value }) => type === "PodScheduled" && value === "False");
  if (unscheduled !== undefined) {
    found.push({
      reason: "Unschedulable",
      message: `pod ${name} finds no node: ${String(unscheduled["message"] ?? "")}`,
    });
  }
  if (status["phase"] === "Failed") {
    const why = [status["reason"], status["message"]]
      .filter((text) => typeof text === "string" && text !== "")
      .join(": ");
    found.push({ reason: "PodFailed", message: `pod ${name} has failed${why === "" ? "" : `: ${why}`}` });
  }
  if (found.length === 0 && status["phase"] === "Running" && !isPodReady(pod)) {
    const waiting = maps(status["containerStatuses"])
      .filter(({ ready }) => ready !== true)
      .map(({ name: of }) => String(of));
    const which =
      waiting.length === 0 ? "" : `: its container ${waiting.join(", ")} has not passed its readiness probe`;
    found.push({ reason: "NotReady", message: `pod ${name} runs and is not ready${which}` });
  }
  return found;
}

function containerProblem(namespace: string, pod: string, container: JsonMap): readonly HealthProblem[] {
  const name = String(container["name"]);
  const state = isMap(container["state"]) ? container["state"] : {};
  const waiting = isMap(state["waiting"]) ? state["waiting"] : {};
  const { reason, message } = waiting;
  const says = typeof message === "string" && message !== "" ? ` (${message})` : "";
  if (typeof reason === "string" && imageReasons.has(reason)) {
    const image = String(container["image"] ?? "");
    const text = `the image ${image} of container ${name} cannot be pulled: ${reason}${says}; check name, tag and imagePullSecrets`;
    return [{ reason: "ImagePull", message: text }];
  }
  if (typeof reason === "string" && configReasons.has(reason)) {
    return [{ reason: "BadConfig", message: `container ${name} of pod ${pod} cannot be started: ${reason}${says}` }];
  }
  if (reason !== "CrashLoopBackOff") return [];
  const last = isMap(container["lastState"]) ? container["lastState"] : {};
  const ended = isMap(last["terminated"]) ? last["terminated"] : {};
  const how = ended["reason"] === "OOMKilled" ? "out of memory" : `exit code ${String(ended["exitCode"] ?? "unknown")}`;
  const text = `container ${name} of pod ${pod} ends again and again (${how}, ${String(container["restartCount"] ?? 0)} restarts); see why: kubectl -n ${namespace} logs ${pod} -c ${name} --previous`;
  return [{ reason: "CrashLoop", message: text }];
}

function maps(value: unknown): readonly JsonMap[] {
  return Array.isArray(value) ? value.filter(isMap) : [];
}
