import type { KubeClient } from "../../kube/client.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";

interface Container {
  readonly name: string;
  readonly ports?: readonly { readonly name?: string; readonly containerPort: number }[];
}

interface Pod extends KubeObject {
  readonly spec: {
    readonly hostNetwork?: boolean;
    readonly containers: readonly Container[];
    readonly initContainers?: readonly Container[];
  };
  readonly status?: {
    readonly phase?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

interface ContainerStatus {
  readonly name: string;
  readonly ready: boolean;
  readonly restartCount: number;
  readonly state?: { readonly waiting?: { readonly reason?: string; readonly message?: string } };
}

interface Service extends KubeObject {
  readonly spec: {
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports?: readonly {
      readonly protocol?: string;
      readonly port: number;
      readonly targetPort?: number | string;
    }[];
  };
}

const SIDECAR = "sidelane";
/** Restarts after which a sidecar is not well. */
const RESTARTS = 3;
/** Of many alike, so many are named. */
const NAMED = 5;

/** Namespaces with injection: pods that should have a sidecar and have none, or an old one, or one that does not work. */
export async function examineNamespaces(
  client: KubeClient,
  installNamespace: string,
  version: string,
  findings: Findings,
): Promise<void> {
  await look("namespaces", findings, async () => {
    const { items } = await client.list(pathOf({ apiVersion: "v1", plural: "namespaces" }), {
      labelSelector: "sidelane.dev/injection in (enabled,on-request)",
    });
    if (items.length === 0) {
      findings.warning(
        "namespaces",
        "none has injection, so no pod has a sidecar",
        "kubectl label namespace NAME sidelane.dev/injection=enabled",
      );
    }
    for (const { metadata } of items) {
      const { name, labels = {} } = metadata;
      if (name === installNamespace || name === "kube-system") {
        findings.warning(
          `namespace ${name}`,
          "has injection, but is never injected",
          `kubectl label namespace ${name} sidelane.dev/injection-`,
        );
        continue;
      }
      await look(`namespace ${name}`, findings, () =>
        examineNamespace(
          client,
          { name, isOnRequest: labels["sidelane.dev/injection"] === "on-request" },
          version,
          findings,
        ),
      );
    }
  });
}

async function examineNamespace(
  client: KubeClient,
  { name, isOnRequest }: { readonly name: string; readonly isOnRequest: boolean },
  version: string,
  findings: Findings,
): Promise<void> {
  const subject = `namespace ${name}`;
  const authority = await client.find(pathOf({ apiVersion: "v1", plural: "configmaps" }, name, "sidelane-ca"));
  if (authority === undefined) {
    findings.error(
      subject,
      "has no ConfigMap sidelane-ca: pods with a sidecar wait in ContainerCreating",
      "the operator writes it; look at its log",
    );
  }
  const { items: pods } = await client.list<Pod>(pathOf({ apiVersion: "v1", plural: "pods" }, name));
  const { items: services } = await client.list<Service>(pathOf({ apiVersion: "v1", plural: "services" }, name));
  const bare: string[] = [];
  const old: string[] = [];
  let injected = 0;
  for (const pod of pods.filter(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed")) {
    const { name: podName, annotations = {} } = pod.metadata;
    const stamp = annotations["sidelane.dev/injected"];
    const sidecar = [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find((one) => one.name === SIDECAR);
    if (sidecar === undefined) {
      if (wants(pod, isOnRequest)) bare.push(podName);
      continue;
    }
    injected++;
    if (stamp !== undefined && stamp !== version) old.push(podName);
    examineSidecar(pod, `pod ${name}/${podName}`, findings);
    examineTargetPorts(pod, services, `pod ${name}/${podName}`, findings);
  }
  const restart = `restart its workload: kubectl -n ${name} rollout restart deployment NAME`;
  if (bare.length > 0)
    findings.warning(subject, `should have a sidecar and ${have(bare)} none: ${listed(bare)}`, restart);
  if (old.length > 0)
    findings.warning(subject, `${have(old)} a sidecar of another version than ${version}: ${listed(old)}`, restart);
  if (injected > 0) findings.good(subject, `${injected} ${injected === 1 ? "pod" : "pods"} with a sidecar`);
  else if (bare.length === 0)
    findings.warning(
      subject,
      "has no pod with a sidecar",
      isOnRequest ? 'annotate pods with sidelane.dev/inject: "true"' : "start a workload there",
    );
}

/** Whether the pod was meant to have one. Those that asked for none, or cannot have one, were not. */
function wants({ metadata: { labels = {}, annotations = {} }, spec }: Pod, isOnRequest: boolean): boolean {
  const asked = annotations["sidelane.dev/inject"] ?? labels["sidelane.dev/inject"];
  if (spec.hostNetwork === true || asked === "false") return false;
  const hasPorts = spec.containers.some(({ ports = [] }) => ports.length > 0);
  return isOnRequest ? asked === "true" : hasPorts;
}

function have(names: readonly string[]): string {
  return names.length === 1 ? "has" : "have";
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED;
  return `${names.slice(0, NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}

function examineSidecar({ status, metadata }: Pod, subject: string, findings: Findings): void {
  const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
  const intercept = statuses.find(({ name }) => name === "sidelane-intercept");
  const logs = (container: string): string =>
    `kubectl -n ${metadata.namespace ?? ""} logs ${metadata.name ?? ""} -c ${container}`;
  if (intercept?.state?.waiting?.reason === "CrashLoopBackOff") {
    findings.error(subject, "its traffic cannot be intercepted: sidelane-intercept fails", logs("sidelane-intercept"));
    return;
  }
  const sidecar = statuses.find(({ name }) => name === SIDECAR);
  const waiting = sidecar?.state?.waiting;
  if (waiting?.reason !== undefined && waiting.reason !== "PodInitializing") {
    findings.error(subject, `its sidecar does not run, ${waiting.reason}: ${waiting.message ?? ""}`, logs(SIDECAR));
  } else if (sidecar !== undefined && sidecar.restartCount >= RESTARTS) {
    findings.warning(subject, `its sidecar was restarted ${sidecar.restartCount} times`, `${logs(SIDECAR)} --previous`);
  }
}

/** Without NET_ADMIN requests reach the sidecar only by the name of its port: a number leads past it. */
function examineTargetPorts(pod: Pod, services: readonly Service[], subject: string, findings: Findings): void {
  const { annotations = {}, labels = {} } = pod.metadata;
  if (annotations["sidelane.dev/interception"] !== "named-ports") return;
  for (const { metadata, spec } of services) {
    const selector = Object.entries(spec.selector ?? {});
    if (selector.length === 0 || !selector.every(([name, value]) => labels[name] === value)) continue;
    const numeric = (spec.ports ?? []).filter(
      ({ protocol = "TCP", targetPort }) => protocol === "TCP" && typeof targetPort !== "string",
    );
    if (numeric.length === 0) continue;
    const ports = numeric.map(({ port }) => port).join(", ");
    findings.error(
      subject,
      `Service ${metadata.name ?? ""} leads past its sidecar: port ${ports} has a number as targetPort`,
      "name the container's port and write that name as targetPort",
    );
  }
}
