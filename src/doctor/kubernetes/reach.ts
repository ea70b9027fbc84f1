// Whether NetworkPolicies leave the ways open that Sidelane needs: API server to webhook, sidecar to control plane, sidecar of the
// baseline to a sandbox's fork.

import type { KubeClient } from "../../kube/client.ts";
import { FORK_LABEL, SERVICE_ANNOTATION } from "../../kube/object-names.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject, Labels } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";
import { blockingPolicies } from "./network-policy.ts";
import type { Policy, PolicyEnd } from "./network-policy.ts";
import { declaredPorts, hasSidecar, isRedirected, sidecarConfigOf } from "./pod.ts";
import type { Pod } from "./pod.ts";

/** Pods by namespace, those of the installation among them. */
export interface ReachInput {
  readonly installNamespace: string;
  readonly namespaces: readonly KubeObject[];
  readonly pods: ReadonlyMap<string, readonly Pod[]>;
}

const apiServer: PolicyEnd = { namespace: "", namespaceLabels: {}, labels: {} };

export async function examineReach(client: KubeClient, input: ReachInput, findings: Findings): Promise<void> {
  await look("network policies", findings, async () => {
    const { items } = await client.list<Policy>(
      pathOf({ apiVersion: "networking.k8s.io/v1", plural: "networkpolicies" }),
    );
    if (items.length > 0) examinePolicies(items, input, findings);
  });
}

/** The findings about policies, from what was read. */
export function examinePolicies(policies: readonly Policy[], input: ReachInput, findings: Findings): void {
  const { installNamespace, pods } = input;
  const endOf = ends(input.namespaces);
  const own = (role: string): readonly Pod[] =>
    (pods.get(installNamespace) ?? []).filter(
      ({ metadata }) => metadata.labels?.["app.kubernetes.io/component"] === role,
    );
  for (const pod of own("webhook")) {
    const port = declaredPorts(pod)[0]?.containerPort ?? 15_443;
    const blocking = blockingPolicies(policies, apiServer, endOf(pod), port);
    if (blocking.length === 0) continue;
    findings.warning(
      `network policy ${installNamespace}/${blocking.join(", ")}`,
      `lets only some callers reach the webhook, port ${port}; unless the API server is among them, new pods come without a sidecar`,
      "the API server is no pod: let everybody reach that port, or name its addresses with ipBlock",
    );
    break;
  }
  const [control] = own("control");
  const feed = control === undefined ? undefined : declaredPorts(control).find(({ name }) => name === "feed");
  for (const [namespace, all] of pods) {
    if (namespace === installNamespace) continue;
    const sidecars = all.filter(hasSidecar);
    const told = new Set<string>();
    // Of many pods that are kept away by the same policies, one is named.
    const tell = (blocking: readonly string[], subject: string, message: string, advice: string): void => {
      const key = `${subject} ${blocking.join(" ")}`;
      if (told.has(key)) return;
      told.add(key);
      findings.error(subject, message, advice);
    };
    for (const pod of sidecars) {
      if (control === undefined) break;
      const port = feed?.containerPort ?? 15_021;
      const blocking = blockingPolicies(policies, endOf(pod), endOf(control), port);
      if (blocking.length === 0) continue;
      tell(
        blocking,
        `namespace ${namespace}`,
        `NetworkPolicy ${blocking.join(", ")} keeps sidecars, as in ${pod.metadata.name}, from the control plane: their tables stay as they are, and new pods do not start`,
        `let pods with sidecars connect to namespace ${installNamespace}, port ${port}, and ask the cluster's DNS`,
      );
    }
    for (const fork of sidecars.filter(({ metadata }) => metadata.labels?.[FORK_LABEL] !== undefined)) {
      const service = fork.metadata.annotations?.[SERVICE_ANNOTATION];
      const port = takenAt(fork);
      if (service === undefined || port === undefined) continue;
      for (const pod of sidecars) {
        if (pod.metadata.labels?.[FORK_LABEL] !== undefined || sidecarConfigOf(pod)?.service !== service) continue;
        const blocking = blockingPolicies(policies, endOf(pod), endOf(fork), port);
        if (blocking.length === 0) continue;
        tell(
          blocking,
          `pod ${namespace}/${fork.metadata.name}`,
          `NetworkPolicy ${blocking.join(", ")} keeps sidecars of ${service} from the sandbox's pod: requests with its key fail`,
          `let pods with the label sidelane.dev/sandbox and those of ${service} connect to each other (docs/kubernetes-resources.md#labels has one that does)`,
        );
      }
    }
  }
}

/** The port at which connections for the app arrive, as a policy sees it: before the pod's own rules. */
function takenAt(pod: Pod): number | undefined {
  const first = sidecarConfigOf(pod)?.inbound[0];
  return isRedirected(pod) ? first?.target : first?.listener;
}

function ends(namespaces: readonly KubeObject[]): (pod: Pod) => PolicyEnd {
  const labels = new Map<string, Labels>(namespaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}]));
  return (pod) => ({
    namespace: pod.metadata.namespace ?? "",
    namespaceLabels: labels.get(pod.metadata.namespace ?? "") ?? {},
    labels: pod.metadata.labels ?? {},
    address: pod.status?.podIP,
    portNames: new Map(
      declaredPorts(pod).flatMap(({ name, containerPort }) => (name === undefined ? [] : [[name, containerPort]])),
    ),
  });
}
