// What a fork is called. Readable first: `pr-7-checkout`.

import { objectName, NAME_MAX } from "../../kube/object-names.ts";
import type { SandboxResource, WorkloadRef } from "../../kube/sandbox-resource.ts";

/**
 * Longest names in characters. Controllers append to them: jobs of a CronJob get 11 characters more (the minute), a StatefulSet's
 * revision, which is the value of a label, 11 (`-` and a hash).
 */
const LENGTH_MAX: Readonly<Record<string, number>> = { CronJob: 52, StatefulSet: 52 };
/** Of a Job: a hash of its content follows. */
const JOB_LENGTH_MAX = NAME_MAX - 6;

/**
 * The name of a fork, and the value of the label by which its pods are selected. Where a sandbox forks a Deployment and, say, a
 * CronJob of one name, the kind follows for all but the Deployment: their pods must not be taken for each other.
 */
export function forkName(sandbox: SandboxResource, { kind, name }: WorkloadRef): string {
  const namesakes = (sandbox.spec.forks ?? []).filter(({ workload }) => workload.name === name);
  const parts = [sandbox.metadata.name, name];
  if (namesakes.length > 1 && kind !== "Deployment") parts.push(kind.toLowerCase());
  // A plain Pod may become a Job.
  const isOnce = kind === "Job" || kind === "Pod";
  return objectName(parts, isOnce ? JOB_LENGTH_MAX : (LENGTH_MAX[kind] ?? NAME_MAX));
}
