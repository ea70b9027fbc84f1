import type { KubeClient } from "../../kube/client.ts";
import { KubeError } from "../../kube/kube-error.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { certificatesIn, decoded, examineServed } from "./certificates.ts";
import { examineEndpoints } from "./endpoints.ts";
import { look } from "./look.ts";

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** A control plane that does not answer so long is away. */
const ANSWER_MS = 5000;

/** Whether the control plane's Service leads to it, it says that it is ready, and its certificate can be trusted. */
export async function examineControlPlane(
  client: KubeClient,
  namespace: string,
  nowMs: number,
  findings: Findings,
): Promise<void> {
  const without = "new pods wait for their first table, running sidecars keep the last one";
  if (await examineEndpoints(client, namespace, "control", without, findings)) await ask(client, namespace, findings);
  const subject = `secret ${namespace}/sidelane-control-tls`;
  await look(subject, findings, async () => {
    const secret = await client.find<Secret>(
      pathOf({ apiVersion: "v1", plural: "secrets" }, namespace, "sidelane-control-tls"),
    );
    const remake = `delete it, and it is made anew: kubectl -n ${namespace} delete secret sidelane-control-tls`;
    const [certificate] = certificatesIn(decoded(secret?.data?.["tls.crt"]));
    if (certificate === undefined) {
      findings.error(
        subject,
        "has no certificate: the control plane cannot start",
        "the operator makes it, or cert-manager; look at their logs",
      );
      return;
    }
    const host = `sidelane-control.${namespace}.svc`;
    const authorities = certificatesIn(decoded(secret?.data?.["ca.crt"]));
    const distrust = "is not the one beside it, which sidecars trust";
    examineServed({ subject, certificate, host, authorities, distrust, nowMs, remake }, findings);
  });
}

/** Through the API server, which connects to a pod as any caller of the Service would. */
async function ask(client: KubeClient, namespace: string, findings: Findings): Promise<void> {
  const subject = `control plane ${namespace}/sidelane-control`;
  await look(subject, findings, async () => {
    const path = `${pathOf({ apiVersion: "v1", plural: "services" }, namespace, "https:sidelane-control:api")}/proxy/ready`;
    try {
      await client.request({ method: "GET", path, withinMs: ANSWER_MS });
      findings.good(subject, "answers, and is ready");
    } catch (error) {
      if (!(error instanceof KubeError) || error.status === 403) throw error;
      findings.error(
        subject,
        `does not answer as it should: ${error.message}`,
        `look at: kubectl -n ${namespace} logs deployment/sidelane-control`,
      );
    }
  });
}
