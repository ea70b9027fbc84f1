// CPU and memory of the sidecar, and what they do to the pod's class of service.

import type { SidecarDefaults } from "../../config/webhook-config.ts";
import { PREFIX } from "../../kube/injected-pod.ts";
import { quantity } from "../../config/quantity.ts";
import type { Pod } from "./pod.ts";
import type { PodSettings } from "./settings.ts";

/** `resources` of a container. */
export interface Resources {
  readonly requests: Readonly<Record<string, string>>;
  readonly limits?: Readonly<Record<string, string>>;
}

interface Amounts {
  readonly request: string;
  readonly limit: string | undefined;
}

/** Gives a sentence when annotations ask for more than they allow; none where the pod as a whole has a budget that it shares. */
export function resourcesOf(
  pod: Pod,
  settings: PodSettings,
  defaults: SidecarDefaults,
): Resources | string | undefined {
  const { cpuRequest, cpuLimit, memoryRequest, memoryLimit } = settings;
  const asks = [cpuRequest, cpuLimit, memoryRequest, memoryLimit].some((amount) => amount !== undefined);
  // The API server refuses a pod whose containers ask for more than the pod, and most pods' containers ask for all of it.
  if (hasBudget(pod) && !asks) return undefined;
  const cpu = amounts("cpu", settings.cpuRequest, settings.cpuLimit, {
    request: defaults.cpuRequest,
    limit: defaults.cpuLimit,
  });
  if (typeof cpu === "string") return cpu;
  const memory = amounts("memory", settings.memoryRequest, settings.memoryLimit, {
    request: defaults.memoryRequest,
    limit: defaults.memoryLimit,
  });
  if (typeof memory === "string") return memory;
  const limits = {
    ...(cpu.limit === undefined ? {} : { cpu: cpu.limit }),
    ...(memory.limit === undefined ? {} : { memory: memory.limit }),
  };
  const requests = { cpu: cpu.request, memory: memory.request };
  return Object.keys(limits).length === 0 ? { requests } : { requests, limits };
}

/** Kubernetes refuses a request above the limit: what the pod asks for moves the default of the other. */
function amounts(
  kind: "cpu" | "memory",
  asked: string | undefined,
  askedLimit: string | undefined,
  defaults: Amounts,
): Amounts | string {
  const request = asked ?? defaults.request;
  const limit = askedLimit === "none" ? undefined : (askedLimit ?? defaults.limit);
  if (limit === undefined || (quantity(request) ?? 0) <= (quantity(limit) ?? 0)) return { request, limit };
  if (askedLimit === undefined) return { request, limit: request };
  if (asked === undefined) return { request: limit, limit };
  return `annotation ${PREFIX}${kind}-request: ${request} is more than the ${limit} of ${PREFIX}${kind}-limit; raise the limit or lower the request`;
}

function hasBudget({ spec }: Pod): boolean {
  return spec?.resources?.requests !== undefined || spec?.resources?.limits !== undefined;
}

/**
 * Whether the pod, as it is, is Guaranteed by its containers: their limits of CPU and memory are what they request. A budget of the
 * whole pod decides alone where there is one, and stays what it is.
 */
export function isGuaranteed(pod: Pod): boolean {
  if (hasBudget(pod)) return false;
  const { spec } = pod;
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  return containers.every(({ resources }) =>
    (["cpu", "memory"] as const).every((kind) => {
      const limit = resources?.limits?.[kind];
      const request = resources?.requests?.[kind] ?? limit;
      return limit !== undefined && quantity(String(limit)) === quantity(String(request));
    }),
  );
}

/** Whether the sidecar leaves a pod that is Guaranteed what it is. */
export function keepsGuaranteed({ requests, limits }: Resources): boolean {
  return ["cpu", "memory"].every((kind) => limits?.[kind] !== undefined && limits[kind] === requests[kind]);
}
