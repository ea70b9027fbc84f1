import type { KubeClient } from "../../kube/client.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean } }[] | null;
}

/** Whether the Service of a role leads anywhere. `without`: what it means when it does not. */
export async function examineEndpoints(
  client: KubeClient,
  namespace: string,
  role: "control" | "webhook",
  without: string,
  findings: Findings,
): Promise<boolean> {
  const subject = `service ${namespace}/sidelane-${role}`;
  let leads = false;
  await look(subject, findings, async () => {
    const { items } = await client.list<EndpointSlice>(
      pathOf({ apiVersion: "discovery.k8s.io/v1", plural: "endpointslices" }, namespace),
      { labelSelector: `kubernetes.io/service-name=sidelane-${role}` },
    );
    const ready = items
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false);
    leads = ready.length > 0;
    if (leads) findings.good(subject, `${ready.length} ready ${ready.length === 1 ? "pod" : "pods"}`);
    else {
      findings.error(
        subject,
        `has no ready pod: ${without}`,
        `kubectl -n ${namespace} get pods -l app.kubernetes.io/component=${role}`,
      );
    }
  });
  return leads;
}
