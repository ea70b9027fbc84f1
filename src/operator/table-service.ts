// A Service of Kubernetes as a service of the table. Pure.

import type { Spec } from "../client/resource-view.ts";
import type { KubernetesObject } from "../kube/object.ts";
import { isForkService, isHeadless, tcpPorts } from "../kube/selectors.ts";
import type { ServicePort } from "../kube/selectors.ts";
import { ownLabels } from "./control-plane.ts";

/** Spec for the control plane; undefined: there is nothing to route, or it is not a baseline's. */
export function tableService(service: KubernetesObject, clusterDomain: string): Spec | undefined {
  const { name, namespace = "", deletionTimestamp } = service.metadata;
  if (deletionTimestamp !== undefined || isForkService(service) || service.spec?.["type"] === "ExternalName")
    return undefined;
  if (namespace === "default" && name === "kubernetes") return undefined; // the API server's own
  const ports = tcpPorts(service);
  const [first] = ports;
  if (first === undefined) return undefined;
  const short = `${name}.${namespace}`;
  const host = `${short}.svc.${clusterDomain}`;
  const endpoint = (port: ServicePort): string => `${host}:${reachedAt(service, port)}`;
  const common = { hosts: [short, `${short}.svc`, host], labels: ownLabels(namespace) };
  if (ports.length === 1) return { ...common, baseline: [endpoint(first)] };
  return {
    ...common,
    ports: Object.fromEntries(ports.map(({ name: port, port: number }) => [port, number])),
    baseline: Object.fromEntries(ports.map((port) => [port.name, [endpoint(port)]])),
  };
}

/** The name of a headless Service leads to the pods, which know nothing of the Service's port. */
function reachedAt(service: KubernetesObject, { port, targetPort }: ServicePort): number {
  return isHeadless(service) && typeof targetPort === "number" ? targetPort : port;
}
