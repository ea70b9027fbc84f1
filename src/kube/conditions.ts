// Conditions of Sandboxes and RouteGroups: what is so, since when, and a sentence to act on. The lists are closed: a type or reason
// that is not here does not exist, and docs/kubernetes-resources.md is made from them.

/** One condition, as `status.conditions` of every Kubernetes object has it. */
export interface Condition {
  readonly type: string;
  readonly status: "True" | "False" | "Unknown";
  /** One word in CamelCase: for programs. */
  readonly reason: string;
  /** A sentence: what is missing, where, what to do. */
  readonly message: string;
  /** RFC 3339: since when the status is what it is. */
  readonly lastTransitionTime: string;
  /** Generation of the object that this is about. */
  readonly observedGeneration?: number | undefined;
}

/** What was found; since when is known from the condition before. */
export type ConditionFinding = Omit<Condition, "lastTransitionTime">;

/** Conditions of a Sandbox in the order in which they come true, and what each one says. */
export const sandboxConditions = {
  Forked: "the objects of its forks are what the baseline and the spec say",
  Available: "the pods of its forks are ready, and every service has an address",
  Routed: "every live sidecar has acknowledged the table with it",
  Answered: "a probe with its key was answered by each of its services",
  Ready: "all of the above: a request with its key arrives",
} as const;

export type SandboxConditionType = keyof typeof sandboxConditions;

/** Longest message in characters: Kubernetes refuses more than 32768, and people read one screen. */
const MESSAGE_MAX = 2000;

/**
 * The conditions with one finding in place of the condition of its type, in the order of `order`. `lastTransitionTime` moves only
 * when the status does. Returns the same array when nothing has changed, so that nobody writes a status for nothing.
 */
export function withCondition(
  conditions: readonly Condition[],
  finding: ConditionFinding,
  now: string,
  order: readonly string[] = Object.keys(sandboxConditions),
): readonly Condition[] {
  const before = conditions.find(({ type }) => type === finding.type);
  const message = shortened(finding.message);
  const isSame =
    before?.status === finding.status &&
    before.reason === finding.reason &&
    before.message === message &&
    before.observedGeneration === finding.observedGeneration;
  if (isSame) return conditions;
  const lastTransitionTime = before?.status === finding.status ? before.lastTransitionTime : now;
  const rank = (type: string): number => (order.includes(type) ? order.indexOf(type) : order.length);
  return [
    ...conditions.filter(({ type }) => type !== finding.type),
    { ...finding, message, lastTransitionTime },
  ].toSorted((a, b) => rank(a.type) - rank(b.type) || (a.type < b.type ? -1 : 1));
}

/** The condition of a type, if there is one. */
export function conditionOf(conditions: readonly Condition[], type: string): Condition | undefined {
  return conditions.find((condition) => condition.type === type);
}

function shortened(message: string): string {
  return message.length <= MESSAGE_MAX ? message : `${message.slice(0, MESSAGE_MAX - 3)}...`;
}
