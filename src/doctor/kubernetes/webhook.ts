import { X509Certificate } from "node:crypto";
import type { KubeClient } from "../../kube/client.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
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

interface EndpointSlice extends KubeObject {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean } }[] | null;
}

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

/** Less than this is left of a certificate: whoever renews it should have done so long ago. */
const SOON_MS = 14 * 24 * 3600 * 1000;

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
      findings.error(subject, "is not there: no pod gets a sidecar", "install the chart, or set webhook.enabled");
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
    const authorities = [...bundles].flatMap(certificatesIn);
    if (authorities.every((one) => Date.parse(one.validTo) < nowMs)) {
      findings.error(
        subject,
        "all the authorities that it trusts have expired",
        "delete Secret sidelane-ca; the operator makes a new one",
      );
      return;
    }
    await examineServing(client, namespace, authorities, nowMs, findings);
    await examineEndpoints(client, namespace, findings);
  });
}

function certificatesIn(bundle: string): readonly X509Certificate[] {
  const pem = Buffer.from(bundle, "base64").toString("utf8");
  return (pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/gu) ?? []).flatMap((one) => {
    try {
      return [new X509Certificate(one)];
    } catch {
      return [];
    }
  });
}

async function examineServing(
  client: KubeClient,
  namespace: string,
  authorities: readonly X509Certificate[],
  nowMs: number,
  findings: Findings,
): Promise<void> {
  const subject = `secret ${namespace}/sidelane-webhook-tls`;
  await look(subject, findings, async () => {
    const secret = await client.find<Secret>(
      pathOf({ apiVersion: "v1", plural: "secrets" }, namespace, "sidelane-webhook-tls"),
    );
    const [certificate] = certificatesIn(secret?.data?.["tls.crt"] ?? "");
    const remake = `delete it, and it is made anew: kubectl -n ${namespace} delete secret sidelane-webhook-tls`;
    if (certificate === undefined) {
      findings.error(
        subject,
        "has no certificate: the webhook cannot be called",
        "the operator makes it, or cert-manager; look at their logs",
      );
      return;
    }
    const leftMs = Date.parse(certificate.validTo) - nowMs;
    const isTrusted = authorities.some((one) => certificate.checkIssued(one) && certificate.verify(one.publicKey));
    if (!isTrusted)
      findings.error(subject, "is signed by an authority that the webhook configuration does not trust", remake);
    else if (leftMs <= 0) findings.error(subject, `expired on ${certificate.validTo}`, remake);
    else if (leftMs < SOON_MS)
      findings.warning(subject, `expires on ${certificate.validTo} and was not renewed`, remake);
    else findings.good(subject, `is trusted by the API server, until ${certificate.validTo}`);
  });
}

async function examineEndpoints(client: KubeClient, namespace: string, findings: Findings): Promise<void> {
  const subject = `service ${namespace}/sidelane-webhook`;
  await look(subject, findings, async () => {
    const { items } = await client.list<EndpointSlice>(
      pathOf({ apiVersion: "discovery.k8s.io/v1", plural: "endpointslices" }, namespace),
      {
        labelSelector: "kubernetes.io/service-name=sidelane-webhook",
      },
    );
    const ready = items
      .flatMap(({ endpoints }) => endpoints ?? [])
      .filter(({ conditions }) => conditions?.ready !== false);
    if (ready.length === 0)
      findings.error(
        subject,
        "has no ready pod: new pods come without a sidecar",
        `kubectl -n ${namespace} get pods -l app.kubernetes.io/component=webhook`,
      );
    else findings.good(subject, `${ready.length} ready ${ready.length === 1 ? "pod" : "pods"}`);
  });
}
