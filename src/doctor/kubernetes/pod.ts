// Pods and Services as far as the doctor reads them, and what their sidecars listen on.

import { parse } from "yaml";
import { isMap } from "../../base/is-map.ts";
import { INTERCEPT, PROXY_CONFIG, SIDECAR } from "../../kube/injected-pod.ts";
import type { KubernetesObject, KubeObject } from "../../kube/object.ts";

export interface Container {
  readonly name: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number; readonly protocol?: string }[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly started?: boolean;
  readonly restartCount: number;
  readonly state?: {
    readonly waiting?: { readonly reason?: string; readonly message?: string };
    readonly running?: { readonly startedAt?: string };
  };
}

export interface Pod extends KubeObject {
  readonly spec: {
    readonly hostNetwork?: boolean;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly podIP?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

/** A Service; `spec` is read by src/kube/selectors.ts. */
export type Service = KubernetesObject;

/** All containers, init containers first. */
function containersOf({ spec }: Pod): readonly Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}

export function hasSidecar(pod: Pod): boolean {
  return containersOf(pod).some(({ name }) => name === SIDECAR);
}

/** Whether its rules bring connections to the sidecar, by whatever number they come; else only those that come by the port's name. */
export function isRedirected(pod: Pod): boolean {
  return containersOf(pod).some(({ name }) => name === INTERCEPT);
}

/** TCP ports that its containers declare. */
export function declaredPorts(pod: Pod): readonly { readonly name?: string; readonly containerPort: number }[] {
  return containersOf(pod)
    .flatMap(({ ports = [] }) => ports)
    .filter(({ protocol = "TCP" }) => protocol === "TCP");
}

export interface SidecarConfig {
  /** As the table names it. */
  readonly service: string;
  /** Ports that connections are taken over from, and where the sidecar takes them. */
  readonly inbound: readonly { readonly target: number; readonly listener: number }[];
}

/** What the pod's sidecar runs with; undefined: it cannot be read. */
export function sidecarConfigOf({ metadata }: Pod): SidecarConfig | undefined {
  let config: unknown;
  try {
    config = parse(metadata.annotations?.[PROXY_CONFIG] ?? "");
  } catch {
    return undefined;
  }
  if (!isMap(config) || typeof config["service"] !== "string" || !Array.isArray(config["listeners"])) return undefined;
  const inbound = config["listeners"].filter(isMap).filter(({ direction }) => direction === "inbound");
  return {
    service: config["service"],
    inbound: inbound.map(({ address, target }) => ({ target: portOf(target), listener: portOf(address) })),
  };
}

/** Of `host:port`. */
function portOf(address: unknown): number {
  return Number(String(address).split(":").at(-1));
}
