// The baseline's pod template, without what the API server, controllers, the scheduler or the injection have written into it. Only
// what is known to be theirs goes: a field that nobody here has heard of is the baseline's, and the fork has it too.

import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import { labelsAt, lastOfEach, mapAt, mapsAt, textAt, withList, without } from "./json.ts";
import { withoutInjection } from "./injection.ts";

/** Labels that controllers write on the pods that they make. */
const CONTROLLERS_LABELS: ReadonlySet<string> = new Set([
  "pod-template-hash",
  "controller-revision-hash",
  "pod-template-generation",
  "statefulset.kubernetes.io/pod-name",
  "apps.kubernetes.io/pod-index",
  "controller-uid",
  "job-name",
  "batch.kubernetes.io/controller-uid",
  "batch.kubernetes.io/job-name",
  "batch.kubernetes.io/job-completion-index",
  "sidelane.dev/fork",
  "sidelane.dev/sandbox",
]);

/** Annotations that say what was, or by whom an object is kept: a copy with them would be taken for the original. */
const FOREIGN_ANNOTATIONS: readonly RegExp[] = [
  /^kubectl\.kubernetes\.io\/last-applied-configuration$/,
  /^deployment\.kubernetes\.io\//,
  /^batch\.kubernetes\.io\//,
  /^statefulset\.kubernetes\.io\//,
  /^kubernetes\.io\/(?:config|limit-ranger|psp)/,
  /^cni\.projectcalico\.org\//,
  /^k8s\.v1\.cni\.cncf\.io\/network-status$/,
  /^k8s\.ovn\.org\//,
  /^meta\.helm\.sh\//,
  /^helm\.sh\/hook/,
  /^argocd\.argoproj\.io\//,
  /^sidelane\.dev\/(?:injected|skipped|proxy-config|sandbox|fork|stamp)$/,
];

/** Written into a pod that runs. A template has none of them, except by mistake. */
const PODS_OWN_FIELDS = ["nodeName", "ephemeralContainers", "priority", "preemptionPolicy", "overhead"];

/** The volume with the service account's token, which the API server adds to each pod under a name of its own. */
const TOKEN_VOLUME = /^kube-api-access-[a-z0-9]{5}$/;

/** The template of any workload, of a CronJob that of its jobs; of a Pod the pod itself. Never null where a map should be. */
export function baselineTemplate(workload: KubernetesObject): JsonMap {
  if (workload.kind === "Pod") {
    return cleanTemplate({ metadata: { ...workload.metadata }, spec: workload.spec ?? {} });
  }
  const spec = workload.kind === "CronJob" ? mapAt(mapAt(workload.spec, "jobTemplate"), "spec") : workload.spec;
  return cleanTemplate(mapAt(spec, "template"));
}

function cleanTemplate(template: JsonMap): JsonMap {
  const metadata = mapAt(template, "metadata");
  const { spec, annotations } = withoutInjection(mapAt(template, "spec"), labelsAt(metadata, "annotations"));
  return {
    metadata: {
      labels: withoutLabels(labelsAt(metadata, "labels")),
      annotations: Object.fromEntries(Object.entries(annotations).filter(([name]) => !isForeign(name))),
    },
    spec: cleanPodSpec(spec),
  };
}

function isForeign(annotation: string): boolean {
  return FOREIGN_ANNOTATIONS.some((pattern) => pattern.test(annotation));
}

function withoutLabels(labels: Readonly<Record<string, string>>): JsonMap {
  return Object.fromEntries(Object.entries(labels).filter(([name]) => !CONTROLLERS_LABELS.has(name)));
}

/** Also drops what server-side apply does not take: lists with one key twice, and nameless pull secrets, which mean nothing. */
function cleanPodSpec(spec: JsonMap): JsonMap {
  const secrets = mapsAt(spec, "imagePullSecrets").filter((secret) => textAt(secret, "name") !== "");
  const lists: readonly (readonly [field: string, list: readonly JsonMap[]])[] = [
    ["containers", mapsAt(spec, "containers").map(cleanContainer)],
    ["initContainers", mapsAt(spec, "initContainers").map(cleanContainer)],
    ["volumes", mapsAt(spec, "volumes").filter((volume) => !isToken(volume))],
    ["imagePullSecrets", lastOfEach(secrets, (secret) => textAt(secret, "name"))],
    ["hostAliases", joinedAliases(mapsAt(spec, "hostAliases"))],
  ];
  return lists.reduce((made, [field, list]) => withList(made, field, list), without(spec, PODS_OWN_FIELDS));
}

function isToken(volumeOrMount: JsonMap): boolean {
  return TOKEN_VOLUME.test(textAt(volumeOrMount, "name"));
}

function cleanContainer(container: JsonMap): JsonMap {
  const mounts = mapsAt(container, "volumeMounts").filter((mount) => !isToken(mount));
  // A port of the node belongs to the baseline; the fork may land on the same node.
  const ports = mapsAt(container, "ports").map((port) => without(port, ["hostPort", "hostIP"]));
  const first = lastOfEach(ports.toReversed(), portKey).toReversed();
  const env = lastOfEach(mapsAt(container, "env"), (variable) => textAt(variable, "name"));
  return withList(withList(withList(container, "volumeMounts", mounts), "ports", first), "env", env);
}

function portKey({ containerPort, protocol }: JsonMap): string {
  return `${String(containerPort)}/${typeof protocol === "string" ? protocol : "TCP"}`;
}

function joinedAliases(aliases: readonly JsonMap[]): readonly JsonMap[] {
  const names = new Map<string, string[]>();
  for (const alias of aliases) {
    const hostnames = Array.isArray(alias["hostnames"]) ? alias["hostnames"].map(String) : [];
    const ip = textAt(alias, "ip");
    names.set(ip, [...new Set([...(names.get(ip) ?? []), ...hostnames])]);
  }
  return [...names].map(([ip, hostnames]) => ({ ip, hostnames }));
}
