// Interception without privileges: a Service that targets a port by its name follows the name. The app keeps listening where it
// does; the number behind the name becomes that of the sidecar's listener, and all that goes by the name (Services, probes, host
// ports, monitors) comes to the sidecar. It stays an entry of the app's container: containers of a pod share their network, and no
// version of Kubernetes looks anywhere else for a named port.

import type { Operation } from "./json-patch.ts";
import { INBOUND_PORT, PREFIX } from "../../kube/injected-pod.ts";
import { isTcp, lastingContainers } from "./pod.ts";
import type { Pod, Service } from "./pod.ts";
import type { InboundPort } from "./services.ts";

/** Which ports can be had like that. */
export interface NamedPorts {
  readonly ports: readonly InboundPort[];
  readonly operations: readonly Operation[];
  readonly warnings: readonly string[];
}

/** Of the wanted ports those that callers reach by name. `by`: the Service they come through, if there is one. */
export function moveNames(
  pod: Pod,
  namespace: string,
  wanted: readonly InboundPort[],
  by: Service | undefined,
): NamedPorts {
  const ports: InboundPort[] = [];
  const operations: Operation[] = [];
  const warnings: string[] = [];
  for (const port of wanted) {
    const places = lastingContainers(pod).flatMap(({ container, pointer }) =>
      (container.ports ?? []).flatMap((one, index) =>
        one.containerPort === port.target && one.name !== undefined && isTcp(one)
          ? { path: `${pointer}/ports/${index}/containerPort`, name: one.name }
          : [],
      ),
    );
    const names = places.map(({ name }) => name);
    const numbered = (by?.spec?.ports ?? []).filter(
      (one) =>
        isTcp(one) && typeof (one.targetPort ?? one.port) === "number" && (one.targetPort ?? one.port) === port.target,
    );
    const named = (by?.spec?.ports ?? []).some((one) => isTcp(one) && names.includes(String(one.targetPort)));
    for (const one of numbered) {
      const name = names[0] ?? one.name ?? "http";
      const first = names.length > 0 ? "" : `name the container's port ${port.target} ${name}, and `;
      warnings.push(
        `Service ${namespace}/${by?.metadata.name ?? ""} targets port ${port.target} by its number, which goes past the sidecar here: ${first}write targetPort: ${name}`,
      );
    }
    if (by !== undefined && !named) continue;
    if (places.length === 0) {
      warnings.push(
        `port ${port.target} has no name in its container, so nothing can be sent to the sidecar in its place; name it, or leave it out with ${PREFIX}exclude-inbound-ports`,
      );
      continue;
    }
    const listener = INBOUND_PORT + ports.length;
    for (const { path } of places) operations.push({ op: "replace", path, value: listener });
    ports.push(port);
  }
  return { ports, operations, warnings };
}
