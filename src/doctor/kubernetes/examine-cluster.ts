// Looks at Sidelane in a Kubernetes cluster, from what is installed to the pods that should have a sidecar. Reads only.

import { connectKube } from "../../kube/client.ts";
import type { KubeClient } from "../../kube/client.ts";
import type { Findings } from "../finding.ts";
import { examineControlPlane } from "./control.ts";
import { examineInstallation } from "./installation.ts";
import { look } from "./look.ts";
import { examineNamespaces } from "./namespaces.ts";
import { examineRights } from "./rights.ts";
import { examineSandboxes } from "./sandboxes.ts";
import { examineWebhook } from "./webhook.ts";

export interface ClusterAccess {
  readonly kubeconfig: string | undefined;
  readonly context: string | undefined;
  /** Where Sidelane is installed. */
  readonly namespace: string;
  /** Of this program. */
  readonly version: string;
}

/** Throws a `RefusedError` when there is no cluster to ask; everything else is a finding. */
export async function examineCluster(access: ClusterAccess, findings: Findings): Promise<void> {
  const { kubeconfig, context, namespace, version } = access;
  const client = await connectKube({ kubeconfig, context });
  try {
    if (!(await isThere(client, findings))) return;
    const nowMs = Date.now();
    await examineInstallation(client, { namespace, version, nowMs }, findings);
    await examineRights(client, namespace, findings);
    await examineControlPlane(client, namespace, nowMs, findings);
    await examineWebhook(client, namespace, nowMs, findings);
    await examineNamespaces(client, { installNamespace: namespace, version, nowMs }, findings);
    await examineSandboxes(client, findings);
  } finally {
    client.close();
  }
}

/** From here on init containers that go on running, which is what a sidecar is, are on by default. */
const NATIVE_SIDECARS_MINOR = 29;

async function isThere(client: KubeClient, findings: Findings): Promise<boolean> {
  const subject = `cluster ${client.server}`;
  let reached = false;
  await look(subject, findings, async () => {
    const { gitVersion, minor } = await client.get<{ readonly gitVersion: string; readonly minor: string }>("/version");
    reached = true;
    if (Number.parseInt(minor, 10) >= NATIVE_SIDECARS_MINOR) findings.good(subject, `Kubernetes ${gitVersion}`);
    else {
      findings.warning(
        subject,
        `Kubernetes ${gitVersion} has no native sidecars: jobs get none, and apps start beside theirs`,
        "update to 1.29 or newer",
      );
    }
  });
  return reached;
}
