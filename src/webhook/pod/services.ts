// Which service a pod is part of, and which of its ports requests come in at.

import type { ListenerProtocol } from "../../config/proxy-config.ts";
import { LISTENERS_MAX, PREFIX } from "../../kube/injected-pod.ts";
import { isTcp, lastingContainers, namedPort } from "./pod.ts";
import type { Pod, Service, ServicePort } from "./pod.ts";
import { isTcpOnly } from "./protocol.ts";
import type { PodSettings, PortReference } from "./settings.ts";

/** A port of the app that requests come in at. */
export interface InboundPort {
  /** Where the app listens. */
  readonly target: number;
  /** Which port of the service it is; absent when the service has one, or the port is none of its. */
  readonly name?: string;
  readonly protocol: ListenerProtocol;
}

/** What requests are for, and where they come in. */
export interface InboundPlan {
  /** As the table calls it. */
  readonly service: string;
  /** The Service whose ports these are, if there is one. */
  readonly by: Service | undefined;
  /** By ascending target. */
  readonly ports: readonly InboundPort[];
  readonly warnings: readonly string[];
}

/** What is looked at. */
export interface InboundAsked {
  readonly pod: Pod;
  readonly namespace: string;
  readonly settings: PodSettings;
  readonly services: readonly Service[];
  /** Ports that the cluster's defaults leave alone. */
  readonly excludedPorts: readonly number[];
}

/** Plans inbound interception, before it is known how it is done. */
export function planInbound(asked: InboundAsked): InboundPlan {
  const { pod, namespace, settings, excludedPorts } = asked;
  const warnings: string[] = [];
  const { service, by } = serviceOf(asked);
  const claimed = by === undefined ? new Map<number, ServicePort>() : targetsOf(pod, by);
  const excluded = new Set([...excludedPorts, ...numbersOf(pod, settings.excludeInboundPorts, warnings)]);
  const wanted = wantedPorts(asked, by, claimed, warnings).filter((port) => !excluded.has(port));
  const targets = [...new Set(wanted)].toSorted((a, b) => a - b);
  if (targets.length > LISTENERS_MAX) {
    warnings.push(
      `of the pod's ${targets.length} ports only ${LISTENERS_MAX} are intercepted; name them in ${PREFIX}ports`,
    );
  }
  const several = by !== undefined && (by.spec?.ports ?? []).filter(isTcp).length > 1;
  const declared = targets.length > 1 && by === undefined;
  const ports = targets.slice(0, LISTENERS_MAX).map((target) => {
    const port = claimed.get(target);
    // Before its Service is there a pod's own names are the best guess; they usually agree.
    const name = several ? port?.name : declared ? declaredName(pod, target) : undefined;
    return { target, protocol: protocolOf(settings, target, port), ...(name === undefined ? {} : { name }) };
  });
  for (const { target } of ports) {
    if (by === undefined || claimed.has(target)) continue;
    warnings.push(
      `port ${target} is no target of Service ${namespace}/${by.metadata.name}; requests with a routing key that come in there are decided as if it were`,
    );
  }
  return { service, by, ports, warnings };
}

/** The Services that select a pod: with a cluster address before headless ones, then by name. */
function selecting(pod: Pod, services: readonly Service[]): readonly Service[] {
  const labels = pod.metadata?.labels ?? {};
  const found = services.filter(({ spec }) => {
    const selector = Object.entries(spec?.selector ?? {});
    return (
      spec?.type !== "ExternalName" && selector.length > 0 && selector.every(([key, text]) => labels[key] === text)
    );
  });
  return found.toSorted(
    (a, b) => Number(isHeadless(a)) - Number(isHeadless(b)) || (a.metadata.name < b.metadata.name ? -1 : 1),
  );
}

function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === "None";
}

function serviceOf({ pod, namespace, settings, services }: InboundAsked): Pick<InboundPlan, "service" | "by"> {
  const [first] = selecting(pod, services);
  if (settings.service !== undefined) {
    const [name = "", of = namespace] = settings.service.split(".");
    const named = of === namespace ? services.find(({ metadata }) => metadata.name === name) : undefined;
    return { service: `${name}.${of}`, by: named ?? first };
  }
  return { service: `${first?.metadata.name ?? shortened(workloadName(pod))}.${namespace}`, by: first };
}

/** The name of a Service is no longer than 63 characters, and ends with a letter or a digit. */
function shortened(name: string): string {
  return name.slice(0, 63).replace(/[^a-z0-9]+$/u, "") || "pod";
}

/** The name that people gave to what made the pod. */
function workloadName({ metadata }: Pod): string {
  const owner = metadata?.ownerReferences?.find(({ controller }) => controller === true);
  const hash = metadata?.labels?.["pod-template-hash"];
  if (owner?.kind === "ReplicaSet" && hash !== undefined && owner.name.endsWith(`-${hash}`)) {
    return owner.name.slice(0, -hash.length - 1);
  }
  // The jobs of a cron job have its name and the minute.
  if (owner?.kind === "Job") return owner.name.replace(/-[0-9]{8,}$/u, "");
  return owner?.name ?? metadata?.name ?? metadata?.generateName?.replace(/-+$/u, "") ?? "pod";
}

/** Target number -> the first port of the Service that has it. */
function targetsOf(pod: Pod, { spec }: Service): ReadonlyMap<number, ServicePort> {
  const targets = new Map<number, ServicePort>();
  for (const port of (spec?.ports ?? []).filter(isTcp)) {
    const target = targetOf(pod, port);
    if (target !== undefined && !targets.has(target)) targets.set(target, port);
  }
  return targets;
}

function targetOf(pod: Pod, { port, targetPort }: ServicePort): number | undefined {
  if (targetPort === undefined || targetPort === 0 || targetPort === "") return port;
  return typeof targetPort === "number" ? targetPort : namedPort(pod, targetPort);
}

function wantedPorts(
  { pod, namespace, settings, services }: InboundAsked,
  by: Service | undefined,
  claimed: ReadonlyMap<number, ServicePort>,
  warnings: string[],
): readonly number[] {
  if (settings.ports !== undefined) return numbersOf(pod, settings.ports, warnings);
  if (by === undefined) {
    return lastingContainers(pod).flatMap(({ container }) =>
      (container.ports ?? []).filter(isTcp).map(({ containerPort }) => containerPort),
    );
  }
  // A sidecar stands beside one service: what comes in for another one must not be taken for it.
  for (const other of selecting(pod, services)) {
    const left = [...targetsOf(pod, other).keys()].filter((target) => !claimed.has(target));
    if (other === by || left.length === 0) continue;
    warnings.push(
      `Service ${namespace}/${other.metadata.name} selects the pod on port ${left.join(", ")}; the sidecar stands beside ${by.metadata.name}, so these are left alone (choose another with ${PREFIX}service)`,
    );
  }
  for (const { name, port, targetPort } of (by.spec?.ports ?? []).filter(isTcp)) {
    if (typeof targetPort !== "string" || targetPort === "" || namedPort(pod, targetPort) !== undefined) continue;
    warnings.push(
      `Service ${namespace}/${by.metadata.name} sends port ${name ?? port} to ${targetPort}, which no container of the pod has as a port's name`,
    );
  }
  return [...claimed.keys()];
}

function numbersOf(pod: Pod, references: readonly PortReference[], warnings: string[]): readonly number[] {
  return references.flatMap((reference) => {
    if (typeof reference === "number") return reference;
    const port = namedPort(pod, reference);
    if (port === undefined) warnings.push(`no container of the pod has a port called ${reference}; it is left out`);
    return port ?? [];
  });
}

function declaredName(pod: Pod, target: number): string | undefined {
  for (const { container } of lastingContainers(pod)) {
    const port = (container.ports ?? []).find((one) => one.containerPort === target && isTcp(one));
    if (port?.name !== undefined) return port.name;
  }
  return undefined;
}

function protocolOf({ protocol }: PodSettings, target: number, port: ServicePort | undefined): ListenerProtocol {
  const asked = typeof protocol === "string" ? protocol : protocol?.get(target);
  return asked ?? (isTcpOnly(target, port) ? "tcp" : "auto");
}
