import { OPEN_PORT } from "../../kube/injected-pod.ts";
import { isForkService, serviceSelects, tcpPorts } from "../../kube/selectors.ts";
import type { ServicePort } from "../../kube/selectors.ts";
import type { Findings } from "../finding.ts";
import { declaredPorts, hasSidecar, isRedirected, sidecarConfigOf } from "./pod.ts";
import type { Pod, Service } from "./pod.ts";

/** Whether the ports of Services lead to a port of their pods, and through the sidecar. */
export function examineTargetPorts(services: readonly Service[], pods: readonly Pod[], findings: Findings): void {
  for (const service of services) {
    if (isForkService(service)) continue;
    const { namespace = "", name } = service.metadata;
    const selected = pods.filter(({ metadata }) => serviceSelects(service.spec?.["selector"], metadata.labels ?? {}));
    if (selected.length === 0) continue;
    for (const port of tcpPorts(service)) examinePort(port, selected, `service ${namespace}/${name}`, findings);
  }
}

function examinePort(
  { port, targetPort }: ServicePort,
  pods: readonly Pod[],
  subject: string,
  findings: Findings,
): void {
  const declared = pods.flatMap(declaredPorts).filter(({ containerPort }) => containerPort !== OPEN_PORT);
  const known = [
    ...new Set(declared.map((one) => `${one.name === undefined ? "" : `${one.name} `}${one.containerPort}`)),
  ];
  const ports = known.length === 0 ? "they declare none" : `they declare ${known.join(", ")}`;
  if (typeof targetPort === "string") {
    if (declared.some(({ name }) => name === targetPort)) return;
    findings.error(
      subject,
      `port ${port} leads nowhere: no container of its pods has a port named ${targetPort}; ${ports}`,
      "correct targetPort, or name the container's port",
    );
    return;
  }
  const past = pods.filter((pod) => hasSidecar(pod) && !isRedirected(pod));
  if (past.length > 0) {
    findings.error(
      subject,
      `port ${port} leads past the sidecar of pods without redirecting, such as ${past[0]?.metadata.name}: it has a number as targetPort`,
      "name the container's port and write that name as targetPort",
    );
    return;
  }
  if (known.length > 0 && !declared.some(({ containerPort }) => containerPort === targetPort)) {
    findings.warning(
      subject,
      `port ${port} leads to ${targetPort}, which no container of its pods declares: ${ports}`,
      "correct targetPort, unless an app listens there without saying so",
    );
    return;
  }
  const outside = pods.filter((pod) => isOutside(pod, targetPort));
  if (outside.length === 0) return;
  findings.warning(
    subject,
    `port ${port} leads past the sidecar of ${outside[0]?.metadata.name}: its sidecar is for other ports`,
    "restart its workload if the Service is newer than the pod; else annotate the pods: sidelane.dev/ports",
  );
}

/** Whether the sidecar leaves the port alone, and nobody has asked for that. */
function isOutside(pod: Pod, port: number): boolean {
  const { annotations = {} } = pod.metadata;
  if (!hasSidecar(pod) || "sidelane.dev/ports" in annotations) return false;
  if (annotations["sidelane.dev/exclude-inbound-ports"]?.split(/[\s,]+/u).includes(String(port)) === true) return false;
  const config = sidecarConfigOf(pod);
  return config !== undefined && config.inbound.every(({ target }) => target !== port);
}
