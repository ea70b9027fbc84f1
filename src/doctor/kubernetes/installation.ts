import type { KubeClient } from "../../kube/client.ts";
import { isNotFound } from "../../kube/kube-error.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";

interface Definition extends KubeObject {
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

interface Deployment extends KubeObject {
  readonly spec: { readonly replicas?: number };
  readonly status?: { readonly availableReplicas?: number; readonly updatedReplicas?: number };
}

interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly renewTime?: string;
    readonly leaseDurationSeconds?: number;
  };
}

const definitions = ["sandboxes", "routegroups", "tablecommits"].map((plural) => `${plural}.sidelane.dev`);
const deployments = ["sidelane-control", "sidelane-webhook", "sidelane-operator"];
const install = "install the chart: helm install sidelane deploy/helm/sidelane --namespace sidelane --create-namespace";

/** Custom resource definitions, the three Deployments, the operator's leader. */
export async function examineInstallation(client: KubeClient, namespace: string, findings: Findings): Promise<void> {
  for (const name of definitions) {
    const subject = `definition ${name}`;
    await look(subject, findings, async () => {
      const path = pathOf({ apiVersion: "apiextensions.k8s.io/v1", plural: "customresourcedefinitions" }, "", name);
      const definition = await client.find<Definition>(path);
      const established = definition?.status?.conditions?.find(({ type }) => type === "Established");
      if (definition === undefined) findings.error(subject, "is not installed", install);
      else if (established?.status !== "True")
        findings.error(
          subject,
          `is not established: ${established?.message ?? "the API server has not looked at it"}`,
          "",
        );
    });
  }
  for (const name of deployments) await examineDeployment(client, namespace, name, findings);
  await examineLeader(client, namespace, findings);
}

async function examineDeployment(
  client: KubeClient,
  namespace: string,
  name: string,
  findings: Findings,
): Promise<void> {
  const subject = `deployment ${namespace}/${name}`;
  await look(subject, findings, async () => {
    try {
      const { spec, status } = await client.get<Deployment>(
        pathOf({ apiVersion: "apps/v1", plural: "deployments" }, namespace, name),
      );
      const wanted = spec.replicas ?? 1;
      const available = status?.availableReplicas ?? 0;
      const how = `kubectl -n ${namespace} get pods -l app.kubernetes.io/component=${name.slice("sidelane-".length)}`;
      if (wanted === 0)
        findings.error(
          subject,
          "is scaled to nothing",
          `kubectl -n ${namespace} scale deployment ${name} --replicas 2`,
        );
      else if (available === 0) findings.error(subject, `none of ${wanted} pods is available`, how);
      else if (available < wanted) findings.warning(subject, `${available} of ${wanted} pods are available`, how);
      else findings.good(subject, `${available} of ${wanted} pods are available`);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      findings.error(subject, "is not there", `${install}; another namespace: --install-namespace`);
    }
  });
}

async function examineLeader(client: KubeClient, namespace: string, findings: Findings): Promise<void> {
  const subject = `lease ${namespace}/sidelane-operator`;
  await look(subject, findings, async () => {
    const lease = await client.find<Lease>(
      pathOf({ apiVersion: "coordination.k8s.io/v1", plural: "leases" }, namespace, "sidelane-operator"),
    );
    const { holderIdentity = "", renewTime = "", leaseDurationSeconds = 15 } = lease?.spec ?? {};
    const how = `kubectl -n ${namespace} logs deployment/sidelane-operator`;
    if (holderIdentity === "") findings.error(subject, "no operator leads: sandboxes are not worked on", how);
    else {
      const sinceMs = Date.now() - Date.parse(renewTime);
      // Twice the term: the clocks of two machines.
      if (sinceMs > 2000 * leaseDurationSeconds)
        findings.error(
          subject,
          `${holderIdentity} has not renewed it for ${Math.round(sinceMs / 1000)} s: sandboxes are not worked on`,
          how,
        );
      else findings.good(subject, `${holderIdentity} leads`);
    }
  });
}
