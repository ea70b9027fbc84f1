// Which Services of the baseline a fork answers for.

import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import { SERVICE_ANNOTATION } from "../../kube/object-names.ts";
import { isForkService, otherPorts, servicesSelecting, tcpPorts } from "../../kube/selectors.ts";
import { nearest } from "../../routing/nearest.ts";
import type { ForkInput } from "./fork.ts";
import { labelsAt, mapAt } from "./json.ts";

export interface Answered {
  /** The first is the one that the fork's sidecars are named for. */
  readonly services: readonly KubernetesObject[];
  /** What the sidecars beside the baseline are named for: the Service, else the workload. */
  readonly sidecarService: string;
  readonly problems: readonly string[];
  readonly remarks: readonly string[];
}

/**
 * Those that are asked for. Where nothing is said, the one that the baseline's sidecars are named for: requests that come in by
 * another Service of the same pods are not theirs to decide.
 */
export function forkServices({ workload, services, forkSpec, namespace }: ForkInput, baseline: JsonMap): Answered {
  const problems: string[] = [];
  const remarks: string[] = [];
  const metadata = mapAt(baseline, "metadata");
  const selecting = servicesSelecting(labelsAt(metadata, "labels"), services);
  const said = annotated(labelsAt(metadata, "annotations")[SERVICE_ANNOTATION], namespace);
  const of = (name: string): KubernetesObject | undefined =>
    services.find((service) => service.metadata.name === name && !isForkService(service));
  const first = (said === undefined ? undefined : of(said)) ?? selecting[0];
  const text = `${forkSpec.workload.kind} ${forkSpec.workload.name}`;
  const sidecarService = said ?? first?.metadata.name ?? workload.metadata.name;
  const isOnce = workload.kind === "Job" || workload.kind === "CronJob";
  if (forkSpec.services === undefined) {
    if (isOnce) return { services: [], sidecarService, problems, remarks };
    if (first === undefined) {
      remarks.push(
        `no Service selects the pods of ${text}: no request is routed to the fork, and what it sends has the key`,
      );
      return { services: [], sidecarService, problems, remarks };
    }
    const more = selecting.filter((service) => service !== first).map((service) => service.metadata.name);
    if (more.length > 0) {
      remarks.push(
        `${listed("Service", more)} too ${more.length === 1 ? "selects" : "select"} the pods of ${text}; their sidecars are named for ${first.metadata.name}, so the fork answers for that one`,
      );
    }
    const problem = unusable(first);
    if (problem !== undefined) problems.push(problem);
    remarks.push(...portRemarks(first));
    return { services: [first], sidecarService, problems, remarks };
  }
  const found: KubernetesObject[] = [];
  const names = services.filter((service) => !isForkService(service)).map((service) => service.metadata.name);
  for (const name of new Set(forkSpec.services)) {
    const service = of(name);
    if (service === undefined) {
      const guess = nearest(name, names);
      const hint = guess === undefined ? "" : `: did you mean ${guess}?`;
      problems.push(
        `there is no Service ${name} in namespace ${namespace} for the fork of ${text} to answer for; there ${names.length === 1 ? "is" : "are"} ${shown(names)}${hint}`,
      );
      continue;
    }
    const problem = unusable(service);
    if (problem !== undefined) problems.push(problem);
    else {
      found.push(service);
      remarks.push(...portRemarks(service));
      if (!selecting.includes(service)) {
        remarks.push(
          `Service ${name} does not select the pods of ${text}, but the fork answers for it, as \`services\` says`,
        );
      }
    }
  }
  if (isOnce && found.length > 0) {
    problems.push(`the fork of ${text} comes to an end, so it cannot answer for a Service; leave \`services\` out`);
    return { services: [], sidecarService, problems, remarks };
  }
  const ordered = found.toSorted((a, b) => Number(b === first) - Number(a === first));
  return { services: ordered, sidecarService: ordered[0]?.metadata.name ?? sidecarService, problems, remarks };
}

/** The Service that the baseline's pods name themselves, when it is one of this namespace. */
function annotated(text: string | undefined, namespace: string): string | undefined {
  const [name = "", of = namespace] = (text ?? "").trim().split(".");
  return name === "" || of !== namespace ? undefined : name;
}

function unusable(service: KubernetesObject): string | undefined {
  const { name } = service.metadata;
  if (service.spec?.["type"] === "ExternalName") {
    return `Service ${name} is an ExternalName: it has no pods of its own that could be replaced; name a Service with a selector`;
  }
  if (tcpPorts(service).length > 0) return undefined;
  const others = otherPorts(service);
  return others.length === 0
    ? `Service ${name} has no ports, so nothing can be routed to a fork; give it the port that the app listens on`
    : `Service ${name} has no TCP port, only ${others.join(", ")}; Sidelane routes TCP (HTTP, gRPC and other), so no fork can answer for it`;
}

function portRemarks(service: KubernetesObject): readonly string[] {
  const others = otherPorts(service);
  if (others.length === 0) return [];
  return [
    `Service ${service.metadata.name} also has ${others.join(", ")}, which stays with the baseline: only TCP is routed`,
  ];
}

function listed(kind: string, names: readonly string[]): string {
  return `${kind}${names.length === 1 ? "" : "s"} ${names.join(", ")}`;
}

function shown(names: readonly string[]): string {
  const sorted = names.toSorted();
  if (sorted.length === 0) return "none";
  return sorted.length <= 10 ? sorted.join(", ") : `${sorted.slice(0, 10).join(", ")} and ${sorted.length - 10} more`;
}
