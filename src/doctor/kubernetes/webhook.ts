import type { X509Certificate } from "node:crypto";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { certificatesIn, decoded, examineServed, isSignedBy } from "./certificates.ts";
import { examineEndpoints } from "./endpoints.ts";
import { install } from "./installation.ts";
import { look } from "./look.ts";

interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly {
    readonly name: string;
    readonly failurePolicy?: string;
    readonly clientConfig: {
      readonly caBundle?: string;
      readonly service?: { readonly namespace: string; readonly name: string };
    };
  }[];
}

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** Whether the API server reaches and trusts the webhook: without it new pods have no sidecar. */
export async function examineWebhook(
  client: KubeClient,
  namespace: string,
  nowMs: number,
  findings: Findings,
): Promise<void> {
  const subject = "webhook configuration sidelane";
  await look(subject, findings, async () => {
    const path = pathOf(
      { apiVersion: "admissionregistration.k8s.io/v1", plural: "mutatingwebhookconfigurations" },
      "",
      "sidelane",
    );
    const webhooks = (await client.find<WebhookConfiguration>(path))?.webhooks ?? [];
    if (webhooks.length === 0) {
      findings.error(subject, "is not there: no pod gets a sidecar", install);
      return;
    }
    const bundles = new Set(webhooks.map(({ clientConfig }) => clientConfig.caBundle ?? ""));
    if (bundles.has("")) {
      findings.error(
        subject,
        "trusts no authority yet: the API server cannot call the webhook",
        `the operator writes it; look at: kubectl -n ${namespace} logs deployment/sidelane-operator`,
      );
      return;
    }
    const trusted = [...bundles].map((bundle) => certificatesIn(decoded(bundle)));
    if (trusted.flat().every((one) => Date.parse(one.validTo) < nowMs)) {
      findings.error(
        subject,
        "all the authorities that it trusts have expired",
        "delete Secret sidelane-ca; the operator makes a new one",
      );
      return;
    }
    await examineServing(client, namespace, trusted, nowMs, findings);
    await examineEndpoints(client, namespace, "webhook", "new pods come without a sidecar", findings);
  });
}

/** `trusted`: by each entry of the configuration, which is called by itself. */
async function examineServing(
  client: KubeClient,
  namespace: string,
  trusted: readonly (readonly X509Certificate[])[],
  nowMs: number,
  findings: Findings,
): Promise<void> {
  const subject = `secret ${namespace}/sidelane-webhook-tls`;
  await look(subject, findings, async () => {
    const secret = await client.find<Secret>(
      pathOf({ apiVersion: "v1", plural: "secrets" }, namespace, "sidelane-webhook-tls"),
    );
    const [certificate] = certificatesIn(decoded(secret?.data?.["tls.crt"]));
    const remake = `delete it, and it is made anew: kubectl -n ${namespace} delete secret sidelane-webhook-tls`;
    if (certificate === undefined) {
      findings.error(
        subject,
        "has no certificate: the webhook cannot be called",
        "the operator makes it, or cert-manager; look at their logs",
      );
      return;
    }
    const host = `sidelane-webhook.${namespace}.svc`;
    const authorities = trusted.find((some) => !isSignedBy(certificate, some)) ?? trusted[0];
    const distrust = "the webhook configuration does not trust";
    examineServed({ subject, certificate, host, authorities, distrust, nowMs, remake }, findings);
  });
}
