// Pods that should have a sidecar and have none: made before the namespace was labelled, or while the webhook could not be reached.
// The webhook never stands in the way of a pod, so somebody has to say it afterwards.

import { isMap } from "../base/is-map.ts";
import { pathOf } from "../kube/object.ts";
import type { KubeObject, KubernetesObject, OwnerReference } from "../kube/object.ts";
import type { Outcome } from "../kube/work-queue.ts";
import { PODS } from "./cluster.ts";
import { injectionOf, lacksSidecar } from "../kube/injection.ts";
import type { OperatorContext } from "./operator-context.ts";

const ABOUT: Readonly<Record<string, string>> = {
  ReplicaSet: "replicasets",
  StatefulSet: "statefulsets",
  DaemonSet: "daemonsets",
  Job: "jobs",
};

export class MissingSidecars {
  readonly #context: OperatorContext;
  /** `namespace/name` of pods. */
  readonly #missing = new Set<string>();

  constructor(context: OperatorContext) {
    this.#context = context;
  }

  /** Pods without the sidecar that they should have, by namespace. */
  counts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>();
    for (const key of this.#missing) {
      const namespace = key.split("/", 1)[0] ?? "";
      counts.set(namespace, (counts.get(namespace) ?? 0) + 1);
    }
    return counts;
  }

  /** Whether a pod has to be looked at: from its metadata alone, so that most pods cost nothing. */
  isSuspect(pod: KubeObject | undefined): boolean {
    if (pod === undefined) return false;
    const { cluster, ownNamespace } = this.#context;
    return lacksSidecar(pod, injectionOf(cluster.namespaces.get(pod.metadata.namespace ?? ""), ownNamespace));
  }

  /** `key`: namespace/name of a pod. */
  async reconcile(key: string): Promise<Outcome> {
    const { kube, cluster, events, log } = this.#context;
    const known = cluster.workloads.Pod.get(key);
    if (known === undefined || !this.isSuspect(known)) return void this.#missing.delete(key);
    const { namespace = "", name } = known.metadata;
    const pod = await kube.find<KubernetesObject>(pathOf(PODS, namespace, name));
    if (pod === undefined || !this.isSuspect(pod) || !isInjectable(pod)) return void this.#missing.delete(key);
    if (this.#missing.has(key)) return undefined;
    this.#missing.add(key);
    const owner = ownerOf(pod);
    const again =
      owner === undefined
        ? `delete it and make it again`
        : `kubectl -n ${namespace} rollout restart ${owner.kind.toLowerCase()}/${owner.name}`;
    const message = `this pod should have a sidecar and has none: it was made before namespace ${namespace} was labelled, or while the webhook could not be reached. Requests with a routing key reach it as if there were no sandboxes. Make it anew: ${again}`;
    log.warn("a pod has no sidecar", { pod: key });
    await events.record({ apiVersion: "v1", kind: "Pod", object: pod }, "Warning", "NoSidecar", message);
    const controller = pod.metadata.ownerReferences?.find((one) => one.controller === true);
    if (controller === undefined || ABOUT[controller.kind] === undefined) return undefined;
    const { apiVersion, kind, uid } = owner?.kind === controller.kind ? controller : (owner ?? controller);
    const about = { metadata: { namespace, name: owner?.name ?? controller.name, uid } };
    await events.record(
      { apiVersion, kind, object: about },
      "Warning",
      "NoSidecar",
      `pods of it have no sidecar, as ${name}: ${again}`,
    );
    return undefined;
  }
}

/** What the webhook refuses is not missed. */
function isInjectable({ spec = {}, status = {} }: KubernetesObject): boolean {
  const { phase } = isMap(status) ? status : {};
  return spec["hostNetwork"] !== true && phase !== "Succeeded" && phase !== "Failed";
}

/** What people would restart: the Deployment in place of its ReplicaSet. */
function ownerOf({ metadata }: KubeObject): OwnerReference | undefined {
  const owner = metadata.ownerReferences?.find(({ controller }) => controller === true);
  const hash = metadata.labels?.["pod-template-hash"];
  if (owner?.kind !== "ReplicaSet" || hash === undefined || !owner.name.endsWith(`-${hash}`)) {
    return owner?.kind === "Job" ? undefined : owner;
  }
  // Its uid is not known here; events are found by kind and name too.
  return { ...owner, kind: "Deployment", name: owner.name.slice(0, -hash.length - 1), uid: "" };
}
