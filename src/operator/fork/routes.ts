// The headless Services of a fork, and the ports by which its pods are reached. Every TCP port of a baseline's Service has to be in
// the fork: a table with one of two ports would send the other nowhere.

import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import { NAME_MAX, objectName } from "../../kube/object-names.ts";
import type { ForkSpec } from "../../kube/sandbox-resource.ts";
import { tcpPorts } from "../../kube/selectors.ts";
import type { ServicePort } from "../../kube/selectors.ts";
import type { ForkRoute } from "./fork.ts";
import { mapAt, mapsAt, textAt } from "./json.ts";
import { forkMetadata } from "./metadata.ts";
import type { MadeFrom } from "./metadata.ts";

export interface RoutesInput {
  /** Of the fork. */
  readonly name: string;
  readonly forkSpec: ForkSpec;
  readonly baseline: JsonMap;
  readonly template: JsonMap;
  readonly services: readonly KubernetesObject[];
}

export interface Routes {
  readonly routes: readonly ForkRoute[];
  /** The headless Services. */
  readonly services: (made: MadeFrom) => readonly KubernetesObject[];
  readonly problems: readonly string[];
  readonly remarks: readonly string[];
}

/** One route for each Service. */
export function routesOf({ name, forkSpec, baseline, template, services }: RoutesInput): Routes {
  const problems: string[] = [];
  const remarks: string[] = [];
  const text = `${forkSpec.workload.kind} ${forkSpec.workload.name}`;
  const declared = declaredPorts(template);
  const lost = declaredPorts(baseline).filter(({ number }) => declared.every((port) => port.number !== number));
  const routes = services.map((service, index): ForkRoute & { readonly of: readonly ServicePort[] } => {
    const of = tcpPorts(service);
    const ports = of.flatMap((port) => {
      const { targetPort } = port;
      const wanted = `Service ${service.metadata.name} sends port ${port.name === "" ? String(port.port) : `${port.name} (${port.port})`} to`;
      if (typeof targetPort === "number") {
        if (lost.some(({ number }) => number === targetPort)) {
          problems.push(
            `${wanted} ${targetPort}, which the change takes away from ${text}; the fork has ${shown(declared)}: leave the port in`,
          );
        } else if (declared.length > 0 && declared.every(({ number }) => number !== targetPort)) {
          remarks.push(
            `${wanted} ${targetPort}, which no container of ${text} declares; it is taken for granted that the app listens there`,
          );
        }
        return { name: port.name, port: port.port, containerPort: targetPort };
      }
      const found = declared.find((one) => one.name === targetPort);
      if (found !== undefined) return { name: port.name, port: port.port, containerPort: found.number };
      problems.push(
        `${wanted} ${targetPort}, but no container of the fork of ${text} has a TCP port called ${targetPort}; it has ${shown(declared)}: give the port that name`,
      );
      return [];
    });
    return { service: service.metadata.name, forkService: serviceName(name, service.metadata.name, index), ports, of };
  });
  return {
    routes: routes.map(({ service, forkService, ports }) => ({ service, forkService, ports })),
    services: (made) => routes.map((route) => headlessService(route, made)),
    problems,
    remarks,
  };
}

/** The first has the fork's name. */
function serviceName(fork: string, service: string, index: number): string {
  return index === 0 ? fork : objectName([fork, service], NAME_MAX);
}

function headlessService(
  {
    service,
    forkService,
    of,
  }: { readonly service: string; readonly forkService: string; readonly of: readonly ServicePort[] },
  made: MadeFrom,
): KubernetesObject {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: forkMetadata(made, "Service", forkService, service),
    spec: {
      type: "ClusterIP",
      // Headless: nobody calls it by its name; its EndpointSlices tell the operator where the fork's ready pods are.
      clusterIP: "None",
      selector: made.labels.selector,
      ports: of.map(({ name, port, targetPort, appProtocol }) => ({
        ...(name === "" ? {} : { name }),
        port,
        protocol: "TCP",
        targetPort,
        ...(appProtocol === undefined ? {} : { appProtocol }),
      })),
    },
  };
}

interface DeclaredPort {
  readonly name: string;
  readonly number: number;
}

/** TCP ports of the containers that run as long as the pod does, in the order in which Kubernetes looks for a name. */
function declaredPorts(template: JsonMap): readonly DeclaredPort[] {
  const spec = mapAt(template, "spec");
  const lasting = mapsAt(spec, "initContainers").filter((container) => container["restartPolicy"] === "Always");
  return [...mapsAt(spec, "containers"), ...lasting].flatMap((container) =>
    mapsAt(container, "ports")
      .filter(({ protocol }) => protocol === undefined || protocol === "TCP")
      .flatMap((port) => {
        const { containerPort } = port;
        return typeof containerPort === "number" ? { name: textAt(port, "name"), number: containerPort } : [];
      }),
  );
}

function shown(ports: readonly DeclaredPort[]): string {
  if (ports.length === 0) return "no declared TCP port";
  return ports.map(({ name, number }) => (name === "" ? String(number) : `${name} (${number})`)).join(", ");
}
