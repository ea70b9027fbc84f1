// The conditions of a Sandbox from what was found. Pure. Reasons are a closed list.

import type { Condition as ControlCondition, SandboxStatus } from "../../control/api/backend.ts";
import type { Condition, ConditionFinding, SandboxConditionType } from "../../kube/conditions.ts";
import { sandboxConditions, withCondition } from "../../kube/conditions.ts";

/** Reasons that the operator gives; `Routed` and `Answered` have those of the control plane besides. */
export const sandboxReasons = {
  UpToDate: "all fork objects are applied",
  NoForks: "the sandbox has none",
  UnknownWorkload: "there is nothing of that kind and name to fork",
  CannotFork: "the baseline cannot be forked as the spec says",
  ApplyRefused: "the Kubernetes API refused a fork object",
  PodsReady: "all pods are ready",
  NothingToRun: "nothing of the sandbox runs in this cluster",
  CrashLoop: "a container ends again and again",
  ImagePull: "an image cannot be pulled",
  BadConfig: "a container cannot be started",
  Unschedulable: "a pod finds no node",
  PodsRefused: "no pods can be made",
  PodFailed: "a pod has failed",
  NotReady: "pods are not ready yet",
  NoAddress: "a service has no address yet",
  WrongPort: "the pods do not have a port of their service",
  KeyTaken: "an older Sandbox or RouteGroup has the routing key",
  NameTaken: "somebody made a sandbox of that name in the control plane",
  ControlUnreachable: "the control plane gives no answer",
  ControlRefused: "the control plane refused the sandbox",
  NotAllowed: "a service of another namespace, which does not let this one answer for it",
  NotInjected: "no pods of the namespace get sidecars",
  NotForked: "a fork is missing, so there is nothing to route to",
  NotRouted: "the control plane does not have it yet",
  Ready: "a request with the key arrives",
} as const;

export type SandboxReason = keyof typeof sandboxReasons;

/** One condition without its generation. */
export interface Found {
  readonly status: Condition["status"];
  /** One of `sandboxReasons`, or the control plane's. */
  readonly reason: string;
  readonly message: string;
}

export type SandboxFindings = Readonly<Record<Exclude<SandboxConditionType, "Ready">, Found>>;

/** A finding whose reason is one of the list. */
export function found(status: Condition["status"], reason: SandboxReason, message: string): Found {
  return { status, reason, message };
}

/** What the control plane says in one respect. */
export function foundInControl(status: SandboxStatus | undefined, type: "Applied" | "Answered"): Found {
  const condition: ControlCondition | undefined = status?.conditions.find((one) => one.type === type);
  if (condition === undefined) return found("Unknown", "NotRouted", "the control plane does not say yet");
  const word = { true: "True", false: "False", unknown: "Unknown" } as const;
  return { status: word[condition.status], reason: condition.reason, message: condition.message };
}

/** All conditions with `Ready`, which is true when all are, and else says what the first says that is not. */
export function conditionsOf(
  before: readonly Condition[],
  findings: SandboxFindings,
  generation: number | undefined,
  now: string,
): readonly Condition[] {
  const types = Object.keys(sandboxConditions).filter((type) => type !== "Ready") as Exclude<
    SandboxConditionType,
    "Ready"
  >[];
  // What surely is not so says more than what is not known.
  const bad =
    types.map((type) => findings[type]).find(({ status }) => status === "False") ??
    types.map((type) => findings[type]).find(({ status }) => status === "Unknown");
  const ready: Found =
    bad === undefined
      ? found("True", "Ready", "a request with the key arrives at every service of the sandbox")
      : { status: bad.status, reason: bad.reason, message: bad.message };
  const all = [...types.map((type) => [type, findings[type]] as const), ["Ready", ready] as const];
  return all.reduce<readonly Condition[]>((conditions, [type, { status, reason, message }]) => {
    const finding: ConditionFinding = { type, status, reason, message, observedGeneration: generation };
    return withCondition(conditions, finding, now);
  }, before);
}
