// Whole objects of a namespace that forks are built with, read when they are needed and kept for as long as they are what they were.

import type { KubeClient } from "../../kube/client.ts";
import { KubeError } from "../../kube/kube-error.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubernetesObject } from "../../kube/object.ts";
import { workloadApis } from "../../kube/sandbox-resource.ts";
import type { WorkloadRef } from "../../kube/sandbox-resource.ts";
import type { Cluster } from "../cluster.ts";

/** What may select pods, or limits what they may do: for selectors and remarks, so it may be a little old. */
const others = [
  { apiVersion: "apps/v1", plural: "deployments", kind: "Deployment" },
  { apiVersion: "apps/v1", plural: "statefulsets", kind: "StatefulSet" },
  { apiVersion: "apps/v1", plural: "daemonsets", kind: "DaemonSet" },
  { apiVersion: "policy/v1", plural: "poddisruptionbudgets", kind: "PodDisruptionBudget" },
  { apiVersion: "networking.k8s.io/v1", plural: "networkpolicies", kind: "NetworkPolicy" },
  { apiVersion: "autoscaling/v2", plural: "horizontalpodautoscalers", kind: "HorizontalPodAutoscaler" },
] as const;
const OTHERS_MS = 30_000;
/** Baselines and namespaces that are remembered. */
const KNOWN_MAX = 1000;

export class Surroundings {
  readonly #kube: KubeClient;
  readonly #cluster: Cluster;
  readonly #baselines = new Map<string, { readonly mark: string; readonly object: KubernetesObject }>();
  readonly #others = new Map<
    string,
    { readonly atMs: number; readonly objects: Promise<readonly KubernetesObject[]> }
  >();

  constructor(kube: KubeClient, cluster: Cluster) {
    this.#kube = kube;
    this.#cluster = cluster;
  }

  /** The live baseline; undefined: there is none. */
  async baseline(namespace: string, { kind, name }: WorkloadRef): Promise<KubernetesObject | undefined> {
    const known = this.#cluster.workloads[kind].get(`${namespace}/${name}`);
    if (known === undefined) return undefined;
    const id = `${kind}/${namespace}/${name}`;
    const { uid = "", generation, resourceVersion = "" } = known.metadata;
    // The generation moves with the spec, the resource version with each pod that gets ready.
    const mark = `${uid}/${kind === "Pod" || generation === undefined ? resourceVersion : generation}`;
    const cached = this.#baselines.get(id);
    if (cached?.mark === mark) return cached.object;
    const object = await this.#kube.find<KubernetesObject>(pathOf(workloadApis[kind], namespace, name));
    if (this.#baselines.size >= KNOWN_MAX) this.#baselines.clear();
    if (object !== undefined) this.#baselines.set(id, { mark, object });
    return object;
  }

  /** Other objects of the namespace that matter to its forks. What may not be read is left out. */
  others(namespace: string): Promise<readonly KubernetesObject[]> {
    const known = this.#others.get(namespace);
    if (known !== undefined && performance.now() - known.atMs < OTHERS_MS) return known.objects;
    if (this.#others.size >= KNOWN_MAX) this.#others.clear();
    const objects = Promise.all(others.map((one) => this.#list(namespace, one))).then((lists) => lists.flat());
    this.#others.set(namespace, { atMs: performance.now(), objects });
    objects.catch(() => this.#others.delete(namespace));
    return objects;
  }

  async #list(namespace: string, type: (typeof others)[number]): Promise<readonly KubernetesObject[]> {
    const { apiVersion, kind } = type;
    try {
      const { items } = await this.#kube.list<KubernetesObject>(pathOf(type, namespace));
      return items.map((one) => ({ ...one, apiVersion, kind }));
    } catch (error) {
      if (error instanceof KubeError && (error.status === 403 || error.status === 404)) return [];
      throw error;
    }
  }
}
