// Workloads that no fork can be made of, and names that are somebody else's.

import type { KubernetesObject } from "../../kube/object.ts";
import { FORK_LABEL, SANDBOX_LABEL } from "../../kube/object-names.ts";
import { workloadApis } from "../../kube/sandbox-resource.ts";
import type { WorkloadRef } from "../../kube/sandbox-resource.ts";
import { nearest } from "../../routing/nearest.ts";
import type { ForkInput } from "./fork.ts";
import { mapAt, mapsAt } from "./json.ts";

/** Why this workload is not forked; empty when it is. */
export function unforkable(input: ForkInput, name: string): readonly string[] {
  const { workload, forkSpec, services, sandbox, others = [] } = input;
  const text = `${workload.kind} ${workload.metadata.name}`;
  if (!Object.hasOwn(workloadApis, workload.kind)) {
    return [`a ${workload.kind} cannot be forked; name a ${Object.keys(workloadApis).join(", ")}`];
  }
  const of = workload.metadata.labels?.[FORK_LABEL] === undefined ? undefined : workload.metadata.labels[SANDBOX_LABEL];
  if (of !== undefined) {
    return [`${text} is itself a fork, of Sandbox ${of}; name the workload that it was made from`];
  }
  const owner = workload.metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (owner !== undefined && (workload.kind === "Pod" || workload.kind === "Job")) {
    const advice = owner.kind === "ReplicaSet" ? "name its Deployment" : `name that ${owner.kind}`;
    return [`${text} belongs to ${owner.kind} ${owner.name}, which makes it anew whenever it likes; ${advice}`];
  }
  const problems: string[] = [];
  const isRouted = workload.kind !== "Job" && workload.kind !== "CronJob";
  const spec = mapAt(mapAt(workload.spec, "template"), "spec");
  const isOnHost = (workload.kind === "Pod" ? workload.spec : spec)?.["hostNetwork"] === true;
  if (isOnHost && isRouted && !("hostNetwork" in mapAt(forkSpec.patch, "spec"))) {
    problems.push(
      `${text} runs in the network of its node, where the fork would claim the same ports and no sidecar can stand; add \`patch: { spec: { hostNetwork: false } }\` if the app can do without`,
    );
  }
  const candidates = [...services, ...others].filter(({ metadata }) => metadata.name === name);
  for (const other of candidates) {
    if (!isInTheWay(other, workload) || isOf(other, sandbox.metadata.uid, sandbox.metadata.name)) continue;
    problems.push(nameTaken(other, sandbox.metadata.name));
  }
  return problems;
}

/**
 * Whether an object that has the name of a fork is somebody else's. `undefined`: it is the sandbox's own, and may be applied. The
 * caller asks for each object that it is about to apply and that is there already: applying with force takes what it is given.
 */
export function takenBy(existing: KubernetesObject, sandbox: ForkInput["sandbox"]): string | undefined {
  return isOf(existing, sandbox.metadata.uid, sandbox.metadata.name)
    ? undefined
    : nameTaken(existing, sandbox.metadata.name);
}

/** The sentence for a workload that is not there; `there` are the names of its kind that are. */
export function workloadMissing({ kind, name }: WorkloadRef, namespace: string, there: readonly string[]): string {
  const guess = nearest(name, there);
  const names = there.toSorted();
  const list = names.length <= 10 ? names.join(", ") : `${names.slice(0, 10).join(", ")} and ${names.length - 10} more`;
  const hint = guess === undefined ? "" : `: did you mean ${guess}?`;
  return `there is no ${kind} ${name} in namespace ${namespace} to fork; there ${names.length === 1 ? "is" : "are"} ${list || "none"}${hint}`;
}

function nameTaken({ kind, metadata }: KubernetesObject, sandbox: string): string {
  return `${kind} ${metadata.name} is there already and is not a fork of Sandbox ${sandbox}; nothing of somebody else's is overwritten: give the Sandbox another name`;
}

function isOf({ metadata }: KubernetesObject, uid: string | undefined, sandbox: string): boolean {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  if (uid !== undefined && owner !== undefined) return owner.uid === uid;
  return metadata.labels?.[SANDBOX_LABEL] === sandbox && Object.hasOwn(metadata.labels, FORK_LABEL);
}

/** A Service or a workload of the kind that the fork will be. */
function isInTheWay(other: KubernetesObject, { kind }: KubernetesObject): boolean {
  return other.kind === "Service" || other.kind === (kind === "Pod" ? "Deployment" : kind);
}

/** Names of the claims that a template mounts. */
export function claimsOf(spec: Readonly<Record<string, unknown>>): readonly string[] {
  return mapsAt(spec, "volumes").flatMap((volume) => {
    const { claimName } = mapAt(volume, "persistentVolumeClaim");
    return typeof claimName === "string" ? claimName : [];
  });
}
