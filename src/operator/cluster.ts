// What the operator follows in the cluster. Of pods and workloads only the metadata, except of forks' pods: whole objects are read
// when one of them is needed.

import type { Log } from "../base/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { Informer } from "../kube/informer.ts";
import { API_VERSION, FORK_LABEL } from "../kube/object-names.ts";
import { pathOf } from "../kube/object.ts";
import type { KubeObject, KubernetesObject, ResourceType } from "../kube/object.ts";
import { ROUTE_GROUP_KIND, ROUTE_GROUP_PLURAL } from "../kube/route-group-resource.ts";
import type { RouteGroupResource } from "../kube/route-group-resource.ts";
import { SANDBOX_KIND, SANDBOX_PLURAL, workloadApis } from "../kube/sandbox-resource.ts";
import type { SandboxResource, WorkloadKind } from "../kube/sandbox-resource.ts";
import type { EndpointSlice } from "./sandbox/endpoints.ts";

export const SANDBOXES: ResourceType = { apiVersion: API_VERSION, plural: SANDBOX_PLURAL };
export const ROUTE_GROUPS: ResourceType = { apiVersion: API_VERSION, plural: ROUTE_GROUP_PLURAL };
export const SERVICES: ResourceType = { apiVersion: "v1", plural: "services" };
export const PODS: ResourceType = { apiVersion: "v1", plural: "pods" };

export const workloadKinds = Object.keys(workloadApis) as readonly WorkloadKind[];

export class Cluster {
  readonly namespaces: Informer;
  readonly services: Informer<KubernetesObject>;
  /** Of forks' Services. */
  readonly slices: Informer<EndpointSlice>;
  /** Of forks; whole. */
  readonly forkPods: Informer<KubernetesObject>;
  readonly sandboxes: Informer<SandboxResource>;
  readonly routeGroups: Informer<RouteGroupResource>;
  /** Metadata of all workloads, and of all pods. */
  readonly workloads: Readonly<Record<WorkloadKind, Informer>>;

  constructor(client: KubeClient, log: Log) {
    const metadata = (type: ResourceType): Informer =>
      new Informer({ client, log, path: pathOf(type), selection: { metadataOnly: true } });
    const ofForks = { labelSelector: FORK_LABEL };
    this.namespaces = metadata({ apiVersion: "v1", plural: "namespaces" });
    this.services = new Informer({ client, log, path: pathOf(SERVICES), type: { apiVersion: "v1", kind: "Service" } });
    const slices = pathOf({ apiVersion: "discovery.k8s.io/v1", plural: "endpointslices" });
    this.slices = new Informer({ client, log, path: slices, selection: ofForks });
    const pod = { apiVersion: "v1", kind: "Pod" };
    this.forkPods = new Informer({ client, log, path: pathOf(PODS), selection: ofForks, type: pod });
    const sandbox = { apiVersion: API_VERSION, kind: SANDBOX_KIND };
    this.sandboxes = new Informer({ client, log, path: pathOf(SANDBOXES), type: sandbox });
    const group = { apiVersion: API_VERSION, kind: ROUTE_GROUP_KIND };
    this.routeGroups = new Informer({ client, log, path: pathOf(ROUTE_GROUPS), type: group });
    this.workloads = {
      Deployment: metadata(workloadApis.Deployment),
      StatefulSet: metadata(workloadApis.StatefulSet),
      Pod: metadata(workloadApis.Pod),
      Job: metadata(workloadApis.Job),
      CronJob: metadata(workloadApis.CronJob),
    };
  }

  /** Starts all, and resolves when all are complete, or when `signal` is aborted. */
  async start(signal: AbortSignal): Promise<void> {
    for (const one of this.#all) one.start();
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    await Promise.race([Promise.all(this.#all.map((one) => one.synced)), aborted]);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#all.map((one) => one.stop()));
  }

  /** Why something cannot be followed at the moment, one sentence each. */
  problems(): readonly string[] {
    return this.#all.map(({ problem }) => problem).filter((problem) => problem !== "");
  }

  get isSynced(): boolean {
    return this.#all.every(({ isSynced }) => isSynced);
  }

  /** Services of one namespace. */
  servicesOf(namespace: string): readonly KubernetesObject[] {
    return this.services.list().filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** Metadata of everything that forks of a namespace are made of: its workloads, and the forks' Services. */
  *forkObjects(namespace: string): Generator<{ readonly type: ResourceType; readonly object: KubeObject }> {
    for (const kind of workloadKinds) {
      for (const object of this.workloads[kind].list()) {
        if (isForkOf(object, namespace)) yield { type: workloadApis[kind], object };
      }
    }
    for (const object of this.services.list()) if (isForkOf(object, namespace)) yield { type: SERVICES, object };
  }

  get #all(): readonly Informer[] {
    const followed = [this.namespaces, this.services, this.slices, this.forkPods, this.sandboxes, this.routeGroups];
    return [...followed, ...Object.values(this.workloads)] as readonly Informer[];
  }
}

function isForkOf({ metadata }: KubeObject, namespace: string): boolean {
  return metadata.namespace === namespace && metadata.labels?.[FORK_LABEL] !== undefined;
}
