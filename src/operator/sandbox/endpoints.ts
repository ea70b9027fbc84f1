// Where a fork's pods are: addresses of its Service's EndpointSlices, in the shape that the table has. Pure.

import { isMap } from "../../base/is-map.ts";
import type { EndpointsDocument } from "../../routing/document.ts";
import { formatEndpoint } from "../../routing/endpoint-name.ts";
import type { KubernetesObject } from "../../kube/object.ts";
import type { ForkRoute } from "../fork/fork.ts";

/** https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoint-slice-v1/ */
export interface EndpointSlice extends KubernetesObject {
  readonly addressType?: string;
  readonly endpoints?:
    | readonly { readonly addresses?: readonly string[]; readonly conditions?: { readonly ready?: boolean | null } }[]
    | null;
  readonly ports?:
    | readonly { readonly name?: string | null; readonly port?: number | null; readonly protocol?: string }[]
    | null;
}

/** Label of an EndpointSlice: its Service. */
export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";

export interface RouteEndpoints {
  /** For the table; never an empty list, which the table does not take. */
  readonly endpoints: EndpointsDocument;
  /** `host:port` of pods that are ready, all ports. */
  readonly ready: readonly string[];
  /** Ports without an address, although others have one: the pods do not have them. */
  readonly missingPorts: readonly string[];
}

/**
 * @param forkHost the DNS name of the fork's Service: the endpoint as long as no pod is ready, so that the sandbox has the service all
 * the time, and requests with its key are refused instead of going to the baseline.
 */
export function routeEndpoints(
  route: Pick<ForkRoute, "ports">,
  slices: readonly EndpointSlice[],
  forkHost: string,
): RouteEndpoints {
  const found = new Map<string, string[]>(route.ports.map(({ name }) => [name, []]));
  for (const slice of slices) {
    if (slice.addressType === "FQDN") continue;
    for (const { name, port } of slice.ports ?? []) {
      if (typeof port !== "number") continue;
      const list = found.get(name ?? "");
      for (const { addresses = [], conditions } of slice.endpoints ?? []) {
        // Not said means ready.
        if (conditions?.ready === false) continue;
        for (const host of addresses) list?.push(formatEndpoint({ host, port }));
      }
    }
  }
  const sorted = new Map([...found].map(([name, list]) => [name, [...new Set(list)].toSorted()]));
  const isAny = [...sorted.values()].some((list) => list.length > 0);
  const ports = route.ports.map(({ name, containerPort }) => {
    const list = sorted.get(name) ?? [];
    return { name, list: list.length > 0 ? list : [`${forkHost}:${containerPort}`], isMissing: list.length === 0 };
  });
  const [only] = ports;
  const endpoints: EndpointsDocument =
    ports.length === 1 && only !== undefined
      ? only.list
      : Object.fromEntries(ports.map(({ name, list }) => [name, list]));
  return {
    endpoints,
    ready: [...sorted.values()].flat(),
    missingPorts: isAny ? ports.filter(({ isMissing }) => isMissing).map(({ name }) => name) : [],
  };
}

/** All `host:port` of endpoints, whichever shape they have. */
export function endpointList(endpoints: EndpointsDocument): readonly string[] {
  return isMap(endpoints) ? Object.values(endpoints).flat() : endpoints;
}
