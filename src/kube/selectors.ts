// Who selects whom: Services by labels that all have to be there, workloads and policies by label selectors.

import { isMap } from "../base/is-map.ts";
import type { JsonMap, KubernetesObject, Labels } from "./object.ts";
import { FORK_LABEL } from "./object-names.ts";

/** One TCP port of a Service. */
export interface ServicePort {
  /** "" where the only port has no name. */
  readonly name: string;
  readonly port: number;
  /** Number, or name of a container's port; as written, else the port itself. */
  readonly targetPort: number | string;
  readonly appProtocol?: string | undefined;
}

/** Whether a Service's selector takes a pod: every pair has to be there. None at all takes nothing. */
export function serviceSelects(selector: unknown, labels: Labels): boolean {
  const pairs = isMap(selector) ? Object.entries(selector) : [];
  return pairs.length > 0 && pairs.every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value);
}

/** Whether a label selector (`matchLabels` and `matchExpressions`) takes a pod. An empty one takes all, an absent one nothing. */
export function labelSelectorSelects(selector: unknown, labels: Labels): boolean {
  if (!isMap(selector)) return false;
  const pairs = isMap(selector["matchLabels"]) ? Object.entries(selector["matchLabels"]) : [];
  if (!pairs.every(([name, value]) => Object.hasOwn(labels, name) && labels[name] === value)) return false;
  return expressions(selector).every(({ key, operator, values }) => {
    const value = Object.hasOwn(labels, key) ? labels[key] : undefined;
    if (operator === "In") return value !== undefined && values.includes(value);
    if (operator === "NotIn") return value === undefined || !values.includes(value);
    if (operator === "Exists") return value !== undefined;
    return operator === "DoesNotExist" && value === undefined;
  });
}

/** Labels without which a label selector does not take a pod: those that it wants to be there. */
export function wantedKeys(selector: unknown): readonly string[] {
  if (!isMap(selector)) return [];
  const pairs = isMap(selector["matchLabels"]) ? Object.keys(selector["matchLabels"]) : [];
  const keys = expressions(selector).filter(({ operator }) => operator === "In" || operator === "Exists");
  return [...pairs, ...keys.map(({ key }) => key)];
}

/**
 * The Services of a namespace that take a pod, best known first: those with an address of their own before headless ones, then by
 * name. The first is the one that the pod's sidecar is named for. The Services of forks do not count.
 */
export function servicesSelecting(labels: Labels, services: readonly KubernetesObject[]): readonly KubernetesObject[] {
  return services
    .filter((service) => !isForkService(service) && serviceSelects(service.spec?.["selector"], labels))
    .toSorted((a, b) => Number(isHeadless(a)) - Number(isHeadless(b)) || (a.metadata.name < b.metadata.name ? -1 : 1));
}

/** Whether a Service was made for a fork. */
export function isForkService(service: KubernetesObject): boolean {
  return Object.hasOwn(service.metadata.labels ?? {}, FORK_LABEL);
}

/** Whether a Service has no address of its own: its name leads to the pods themselves. */
export function isHeadless(service: KubernetesObject): boolean {
  return service.spec?.["clusterIP"] === "None";
}

/** The TCP ports of a Service in the order of their numbers; the only protocol that is proxied. */
export function tcpPorts(service: KubernetesObject): readonly ServicePort[] {
  return portsOf(service)
    .filter(({ protocol }) => protocol === undefined || protocol === "TCP")
    .flatMap((port) => {
      const number = port["port"];
      if (typeof number !== "number") return [];
      const { name, targetPort, appProtocol } = port;
      return {
        name: typeof name === "string" ? name : "",
        port: number,
        // 0 and "" are what an old client sends for "the same".
        targetPort: isTarget(targetPort) ? targetPort : number,
        ...(typeof appProtocol === "string" ? { appProtocol } : {}),
      };
    })
    .toSorted((a, b) => a.port - b.port || (a.name < b.name ? -1 : 1));
}

/** Ports of a Service that are not TCP, as people write them: `dns (UDP 53)`. */
export function otherPorts(service: KubernetesObject): readonly string[] {
  return portsOf(service)
    .filter(({ protocol }) => protocol !== undefined && protocol !== "TCP")
    .map(({ name, protocol, port }) => {
      const number = `${String(protocol)} ${String(port)}`;
      return typeof name === "string" && name !== "" ? `${name} (${number})` : number;
    });
}

function isTarget(value: unknown): value is number | string {
  return (typeof value === "number" && value > 0) || (typeof value === "string" && value !== "");
}

function portsOf(service: KubernetesObject): readonly JsonMap[] {
  const ports = service.spec?.["ports"];
  return Array.isArray(ports) ? ports.filter(isMap) : [];
}

interface Expression {
  readonly key: string;
  readonly operator: unknown;
  readonly values: readonly unknown[];
}

function expressions(selector: JsonMap): readonly Expression[] {
  const list = selector["matchExpressions"];
  const found = Array.isArray(list) ? list.filter(isMap) : [];
  return found.map(({ key, operator, values }) => ({
    key: String(key),
    operator,
    values: Array.isArray(values) ? values : [],
  }));
}
