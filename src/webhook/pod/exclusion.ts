// Which pods are left alone. A closed list: each reason is a label of a metric, an audit annotation, and a row in
// docs/injection.md.

import type { PodReview } from "./review-pod.ts";
import { INJECTION, INTERCEPT, PREFIX, PROXY_CONFIG, SIDECAR, VOLUMES } from "../../kube/injected-pod.ts";
import { SYSTEM_NAMESPACES } from "../../kube/injection.ts";
import { wish } from "./settings.ts";
import type { Pod } from "./pod.ts";

/** Why pods get no sidecar. */
export const skipReasons = {
  "own-namespace": "Sidelane does not stand in its own way",
  "system-namespace": "what the cluster itself needs is not touched",
  "already-injected": "it has a container of that name",
  "static-pod": "the API server only mirrors it; its node runs what a file says",
  "opted-out": `the pod says ${PREFIX}inject: "false"`,
  "namespace-not-enabled": `its namespace has no label ${INJECTION}: enabled or on-request`,
  "not-requested": `its namespace has ${INJECTION}: on-request, and the pod does not say ${PREFIX}inject: "true"`,
  "host-network": "it shares the network of its node, whose traffic would be redirected with it",
  windows: "it runs on Windows, and the sidecar is a Linux image",
  "no-ports": "nothing says which ports it serves, and it does not ask for outbound interception",
  "no-named-ports": "interception by named ports found no named port that a Service targets by its name",
  "ports-taken": "one of its containers has a port that the sidecar needs",
  "user-taken": "one of its containers runs as the sidecar's user, whose traffic is never intercepted",
  "name-taken": "it has a volume with the name of one of the sidecar's",
  "annotations-full": "its annotations leave no room for the sidecar's config; all of them have 256 KiB",
  "never-ends": "a pod that runs to its end would never get there with an ordinary container beside it",
} as const satisfies Readonly<Record<string, string>>;

export type SkipReason = keyof typeof skipReasons;

/** Why a pod is left alone whatever its annotations ask for; "unreadable" when it says about injection what cannot be read. */
export function exclusion({ pod, namespace, cluster }: PodReview): SkipReason | "unreadable" | undefined {
  if (namespace.name === cluster.ownNamespace) return "own-namespace";
  if (SYSTEM_NAMESPACES.has(namespace.name)) return "system-namespace";
  if (hasSidecar(pod)) return "already-injected";
  if (isStatic(pod)) return "static-pod";
  const wanted = wish(pod);
  if (wanted === "out") return "opted-out";
  const injection = namespace.labels[INJECTION];
  if (injection !== "enabled" && injection !== "on-request") return "namespace-not-enabled";
  if (wanted === "unreadable") return "unreadable";
  if (injection === "on-request" && wanted !== "in") return "not-requested";
  const { spec } = pod;
  if (spec?.hostNetwork === true) return "host-network";
  return isWindows(pod) ? "windows" : undefined;
}

const OS_LABELS = ["kubernetes.io/os", "beta.kubernetes.io/os"];

function isWindows({ spec }: Pod): boolean {
  if (spec?.os?.name !== undefined) return spec.os.name === "windows";
  if (OS_LABELS.some((label) => spec?.nodeSelector?.[label] === "windows")) return true;
  const contexts = [spec?.securityContext, ...(spec?.containers ?? []).map(({ securityContext }) => securityContext)];
  return contexts.some((context) => context?.windowsOptions !== undefined);
}

/**
 * Whether the pod has the sidecar's containers without their config: a copy of a pod that lost its annotations. Nothing in it would
 * start.
 */
export function lostConfig({ metadata, spec }: Pod): boolean {
  const hasVolume = (spec?.volumes ?? []).some(({ name, downwardAPI }) => name === VOLUMES.config && downwardAPI);
  return hasVolume && metadata?.annotations?.[PROXY_CONFIG] === undefined;
}

/** By its containers: the annotation alone may be a copy from another pod. */
function hasSidecar({ spec }: Pod): boolean {
  const names = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map(({ name }) => name);
  return names.includes(SIDECAR) || names.includes(INTERCEPT);
}

function isStatic({ metadata }: Pod): boolean {
  const annotations = metadata?.annotations ?? {};
  const source = annotations["kubernetes.io/config.source"];
  return "kubernetes.io/config.mirror" in annotations || source === "file" || source === "http";
}
