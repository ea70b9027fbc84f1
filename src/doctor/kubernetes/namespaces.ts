import type { KubeClient } from "../../kube/client.ts";
import { INJECT, INJECTED, INJECTION } from "../../kube/injected-pod.ts";
import { injectionOf, lacksSidecar } from "../../kube/injection.ts";
import type { Injection } from "../../kube/injection.ts";
import { isNotFound } from "../../kube/kube-error.ts";
import { API_VERSION, SANDBOX_ANNOTATION } from "../../kube/object-names.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { certificatesIn, decoded, isSignedBy } from "./certificates.ts";
import { look } from "./look.ts";
import { hasSidecar } from "./pod.ts";
import type { Pod, Service } from "./pod.ts";
import { examineReach } from "./reach.ts";
import { examineSidecar } from "./sidecars.ts";
import { examineTargetPorts } from "./target-ports.ts";

interface Keyed extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** What the findings are about. */
export interface Examined {
  /** Where Sidelane is installed. */
  readonly installNamespace: string;
  /** Of this program. */
  readonly version: string;
  readonly nowMs: number;
}

const PODS = { apiVersion: "v1", plural: "pods" };
const known = ["enabled", "on-request", "disabled"];

/** Of many alike, so many are named. */
const NAMED = 5;

/** Namespaces with injection: pods that should have a sidecar and have none, or an old one, or one that does not work. */
export async function examineNamespaces(client: KubeClient, examined: Examined, findings: Findings): Promise<void> {
  const { installNamespace } = examined;
  await look("namespaces", findings, async () => {
    const { items } = await client.list(pathOf({ apiVersion: "v1", plural: "namespaces" }));
    const pods = new Map<string, readonly Pod[]>();
    for (const namespace of items) {
      const { name, labels = {} } = namespace.metadata;
      const wish = labels[INJECTION];
      const injection = injectionOf(namespace, installNamespace);
      const subject = `namespace ${name}`;
      if (injection !== "disabled") {
        await look(subject, findings, async () => {
          pods.set(name, await examineNamespace(client, { name, injection }, examined, findings));
        });
      } else if (wish === "enabled" || wish === "on-request") {
        findings.warning(
          subject,
          "has injection, but is never injected",
          `kubectl label namespace ${name} sidelane.dev/injection-`,
        );
      } else if (wish !== undefined && !known.includes(wish)) {
        findings.warning(
          subject,
          `its label sidelane.dev/injection says ${JSON.stringify(wish)}, which means nothing: its pods get no sidecar`,
          `kubectl label --overwrite namespace ${name} sidelane.dev/injection=enabled`,
        );
      }
    }
    if (pods.size === 0) {
      findings.warning(
        "namespaces",
        "none has injection, so no pod has a sidecar",
        "kubectl label namespace NAME sidelane.dev/injection=enabled",
      );
    }
    await examineUnlabelled(client, items, examined, findings);
    await look(`namespace ${installNamespace}`, findings, async () => {
      const { items: own } = await client.list<Pod>(pathOf(PODS, installNamespace));
      pods.set(installNamespace, own);
    });
    await examineReach(client, { installNamespace, namespaces: items, pods }, findings);
  });
}

/** Sandboxes where no pod gets a sidecar: nobody looks at their keys there. */
async function examineUnlabelled(
  client: KubeClient,
  namespaces: readonly KubeObject[],
  { installNamespace }: Examined,
  findings: Findings,
): Promise<void> {
  await look("sandboxes", findings, async () => {
    const list = client.list(pathOf({ apiVersion: API_VERSION, plural: "sandboxes" }));
    // That their definition is not there is told elsewhere.
    const { items } = await list.catch((error: unknown) => {
      if (!isNotFound(error)) throw error;
      return { items: [] as readonly KubeObject[] };
    });
    for (const namespace of namespaces) {
      const { name } = namespace.metadata;
      if (injectionOf(namespace, installNamespace) !== "disabled") continue;
      const own = items.filter(({ metadata }) => metadata.namespace === name).map(({ metadata }) => metadata.name);
      if (own.length === 0) continue;
      findings.error(
        `namespace ${name}`,
        `has Sandboxes (${listed(own)}), but its pods get no sidecar: requests with their keys go to the baseline`,
        `kubectl label --overwrite namespace ${name} sidelane.dev/injection=enabled, then restart its workloads`,
      );
    }
  });
}

async function examineNamespace(
  client: KubeClient,
  { name, injection }: { readonly name: string; readonly injection: Injection },
  { installNamespace, version, nowMs }: Examined,
  findings: Findings,
): Promise<readonly Pod[]> {
  const subject = `namespace ${name}`;
  await examineAuthority(client, name, installNamespace, findings);
  const { items: pods } = await client.list<Pod>(pathOf(PODS, name));
  const { items: services } = await client.list<Service>(pathOf({ apiVersion: "v1", plural: "services" }, name));
  const bare: string[] = [];
  const old: string[] = [];
  let injected = 0;
  const live = pods.filter(({ status }) => status?.phase !== "Succeeded" && status?.phase !== "Failed");
  for (const pod of live) {
    const { name: podName, annotations = {} } = pod.metadata;
    const stamp = annotations[INJECTED];
    if (!hasSidecar(pod)) {
      if (lacksSidecar(pod, injection) && mayHaveOne(pod)) bare.push(podName);
      continue;
    }
    injected++;
    if (stamp !== undefined && stamp !== version) old.push(podName);
    examineSidecar(pod, `pod ${name}/${podName}`, nowMs, findings);
  }
  examineTargetPorts(services, live, findings);
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
      injection === "on-request" ? 'annotate pods with sidelane.dev/inject: "true"' : "start a workload there",
    );
  return live;
}

/** Whether the pods of a namespace can trust the control plane. */
async function examineAuthority(
  client: KubeClient,
  name: string,
  installNamespace: string,
  findings: Findings,
): Promise<void> {
  const subject = `namespace ${name}`;
  const authority = await client.find<Keyed>(pathOf({ apiVersion: "v1", plural: "configmaps" }, name, "sidelane-ca"));
  if (authority === undefined) {
    findings.error(
      subject,
      "has no ConfigMap sidelane-ca: pods with a sidecar wait in ContainerCreating",
      "the operator writes it; look at its log",
    );
    return;
  }
  await look(subject, findings, async () => {
    const path = pathOf({ apiVersion: "v1", plural: "secrets" }, installNamespace, "sidelane-control-tls");
    const [certificate] = certificatesIn(decoded((await client.find<Keyed>(path))?.data?.["tls.crt"]));
    if (certificate === undefined) return;
    if (isSignedBy(certificate, certificatesIn(authority.data?.["ca.crt"] ?? ""))) return;
    findings.error(
      subject,
      "its ConfigMap sidelane-ca does not have the authority of the control plane's certificate: sidecars refuse to connect",
      `delete it, and the operator writes it anew: kubectl -n ${name} delete configmap sidelane-ca`,
    );
  });
}

/** What the webhook would leave alone is not missed; of a pod that declares no port nobody can say whether it would. */
function mayHaveOne({ metadata: { labels = {}, annotations = {} }, spec }: Pod): boolean {
  const asks = labels[INJECT] === "true" || annotations[INJECT] === "true" || SANDBOX_ANNOTATION in annotations;
  return spec.hostNetwork !== true && (asks || spec.containers.some(({ ports = [] }) => ports.length > 0));
}

function have(names: readonly string[]): string {
  return names.length === 1 ? "has" : "have";
}

function listed(names: readonly string[]): string {
  const more = names.length - NAMED;
  return `${names.slice(0, NAMED).join(", ")}${more > 0 ? ` and ${more} more` : ""}`;
}
