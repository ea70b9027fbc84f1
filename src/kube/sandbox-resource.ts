// The custom resource `Sandbox` (deploy/helm/sidelane/definitions/sandboxes.yaml), as the API server hands it out: valid by its schema.

import type { Condition } from "./conditions.ts";
import type { JsonMap, KubernetesObject } from "./object.ts";
import type { API_VERSION } from "./object-names.ts";

export const SANDBOX_KIND = "Sandbox";
/** In paths and roles. */
export const SANDBOX_PLURAL = "sandboxes";

/** What can be forked. */
export type WorkloadKind = "Deployment" | "StatefulSet" | "Pod" | "Job" | "CronJob";

/** API version and plural of each kind: where the live object is. */
export const workloadApis: Readonly<Record<WorkloadKind, { readonly apiVersion: string; readonly plural: string }>> = {
  Deployment: { apiVersion: "apps/v1", plural: "deployments" },
  StatefulSet: { apiVersion: "apps/v1", plural: "statefulsets" },
  Pod: { apiVersion: "v1", plural: "pods" },
  Job: { apiVersion: "batch/v1", plural: "jobs" },
  CronJob: { apiVersion: "batch/v1", plural: "cronjobs" },
};

/** A workload of the sandbox's own namespace. */
export interface WorkloadRef {
  readonly kind: WorkloadKind;
  readonly name: string;
}

/** One environment variable; exactly one of `value` and `valueFrom`. */
export interface EnvVar {
  readonly name: string;
  readonly value?: string | undefined;
  readonly valueFrom?: JsonMap | undefined;
}

/** What becomes of one container, or init container, of the baseline. */
export interface ContainerChange {
  readonly name: string;
  readonly image?: string | undefined;
  /** Set, or added. */
  readonly env?: readonly EnvVar[] | undefined;
  readonly removeEnv?: readonly string[] | undefined;
  readonly command?: readonly string[] | undefined;
  readonly args?: readonly string[] | undefined;
  /** In place of what the baseline has. */
  readonly resources?: JsonMap | undefined;
}

/** A copy of a workload with a change. */
export interface ForkSpec {
  readonly workload: WorkloadRef;
  /** Services that the fork answers for. Default: the one that the baseline's sidecars are named for. */
  readonly services?: readonly string[] | undefined;
  /** Default 1. */
  readonly replicas?: number | undefined;
  readonly containers?: readonly ContainerChange[] | undefined;
  /** JSON Merge Patch (RFC 7396) of the pod template. */
  readonly patch?: JsonMap | undefined;
  /** Of a CronJob. Default `suspended`: it runs when somebody starts it. */
  readonly schedule?: "suspended" | "keep" | undefined;
}

/** A service that exists already, wherever it is; exactly one of `addresses` and `ports`. */
export interface SandboxEndpoints {
  /** `checkout`, or `checkout.shop` for one of another namespace. */
  readonly service: string;
  /** `host:port`, for a service with one port. */
  readonly addresses?: readonly string[] | undefined;
  /** `host:port` by the name of the port, for a service with several. */
  readonly ports?: Readonly<Record<string, readonly string[]>> | undefined;
}

/** A service that a developer's machine answers for while it is connected. */
export interface SandboxConnect {
  readonly service: string;
}

/** `spec` of a Sandbox: at least one of forks, endpoints and connect. */
export interface SandboxResourceSpec {
  /** Default: the name. */
  readonly key?: string | undefined;
  readonly strict?: boolean | undefined;
  /** `30m`, `4h`, `7d`. Absent: it stays. */
  readonly ttl?: string | undefined;
  readonly ttlFrom?: "creation" | "traffic" | undefined;
  readonly owner?: string | undefined;
  readonly description?: string | undefined;
  readonly forks?: readonly ForkSpec[] | undefined;
  readonly endpoints?: readonly SandboxEndpoints[] | undefined;
  readonly connect?: readonly SandboxConnect[] | undefined;
}

/** One fork, as it stands. */
export interface ForkStatus {
  /** `Deployment/checkout`. */
  readonly workload: string;
  /** Of the fork's own workload. */
  readonly name: string;
  /** `1/1`: pods that are ready, of those that are wanted. */
  readonly ready: string;
  /** Of the first container that was changed, else of the first. */
  readonly image: string;
}

/** `status` of a Sandbox. */
export interface SandboxResourceStatus {
  readonly observedGeneration?: number | undefined;
  readonly key?: string | undefined;
  /** In the control plane: `pr-7.shop`. */
  readonly name?: string | undefined;
  readonly services?: readonly { readonly name: string; readonly endpoints: readonly string[] }[] | undefined;
  /** The services in one line, for the column. */
  readonly serviceNames?: string | undefined;
  readonly forks?: readonly ForkStatus[] | undefined;
  /** RFC 3339. */
  readonly expiresAt?: string | undefined;
  readonly conditions?: readonly Condition[] | undefined;
}

export interface SandboxResource extends KubernetesObject {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: typeof SANDBOX_KIND;
  readonly metadata: KubernetesObject["metadata"] & { readonly namespace: string };
  readonly spec: SandboxResourceSpec & JsonMap;
  readonly status?: SandboxResourceStatus & JsonMap;
}

/** The routing key of a Sandbox or a RouteGroup. */
export function routingKeyOf(resource: {
  readonly metadata: { readonly name: string };
  readonly spec: { readonly key?: string | undefined };
}): string {
  return resource.spec.key ?? resource.metadata.name;
}

/** `Deployment/checkout`. */
export function workloadText({ kind, name }: WorkloadRef): string {
  return `${kind}/${name}`;
}
