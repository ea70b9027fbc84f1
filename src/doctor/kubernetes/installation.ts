import type { KubeClient } from "../../kube/client.ts";
import { isNotFound } from "../../kube/kube-error.ts";
import type { Lease } from "../../kube/lease.ts";
import { API_GROUP, API_VERSION } from "../../kube/object-names.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";

/** JSON schema as far as fields are looked for. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly items?: Schema;
}

interface Definition extends KubeObject {
  readonly spec?: {
    readonly versions?: readonly {
      readonly name: string;
      readonly served: boolean;
      readonly schema?: { readonly openAPIV3Schema?: Schema };
    }[];
  };
  readonly status?: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[];
  };
}

interface Deployment extends KubeObject {
  readonly spec: { readonly replicas?: number };
  readonly status?: { readonly availableReplicas?: number; readonly updatedReplicas?: number };
}

/** Fields of `spec` that this version writes or reads, where an older definition would drop them in silence; `[]`: of each item. */
export const neededFields: Readonly<Record<string, readonly string[]>> = {
  sandboxes: [
    ...["key", "strict", "ttl", "ttlFrom", "owner", "description", "forks", "endpoints", "connect"],
    ...["workload", "services", "replicas", "containers", "patch", "schedule"].map((field) => `forks[].${field}`),
  ],
  routegroups: ["key", "owner", "description", "sandboxes", "match"],
  tablecommits: [],
};
const deployments = ["sidelane-control", "sidelane-webhook", "sidelane-operator"];
const upgrade =
  "helm upgrade sidelane deploy/helm/sidelane --namespace sidelane --reset-then-reuse-values; or kubectl apply --server-side -f deploy/helm/sidelane/definitions/";

/** What to do where a part is not there. */
export const install =
  "install the chart: helm install sidelane deploy/helm/sidelane --namespace sidelane --create-namespace";

/** What the findings are about. */
export interface InstallationExamined {
  readonly namespace: string;
  /** Of this program. */
  readonly version: string;
  readonly nowMs: number;
}

/** Custom resource definitions, the three Deployments, the operator's leader. */
export async function examineInstallation(
  client: KubeClient,
  { namespace, version, nowMs }: InstallationExamined,
  findings: Findings,
): Promise<void> {
  for (const [plural, fields] of Object.entries(neededFields)) {
    const name = `${plural}.${API_GROUP}`;
    const subject = `definition ${name}`;
    await look(subject, findings, async () => {
      const path = pathOf({ apiVersion: "apiextensions.k8s.io/v1", plural: "customresourcedefinitions" }, "", name);
      const definition = await client.find<Definition>(path);
      const established = definition?.status?.conditions?.find(({ type }) => type === "Established");
      const served = definition?.spec?.versions?.find(
        (one) => one.served && `${API_GROUP}/${one.name}` === API_VERSION,
      );
      const spec = served?.schema?.openAPIV3Schema?.properties?.["spec"];
      const missing = fields.filter((field) => fieldAt(spec, field) === undefined);
      if (definition === undefined) findings.error(subject, "is not installed", install);
      else if (established?.status !== "True") {
        const why = established?.message ?? "the API server has not looked at it";
        findings.error(subject, `is not established: ${why}`, "correct what it says; helm upgrade writes it anew");
      } else if (served === undefined) findings.error(subject, `does not serve ${API_VERSION}`, upgrade);
      else if (missing.length > 0) {
        findings.error(
          subject,
          `is older than this program: it does not know ${missing.join(", ")}, and the API server drops what it does not know`,
          upgrade,
        );
      }
    });
  }
  for (const name of deployments) await examineDeployment(client, { namespace, version, name }, findings);
  await examineLeader(client, namespace, nowMs, findings);
}

/** `forks[].workload` */
function fieldAt(schema: Schema | undefined, field: string): Schema | undefined {
  return field.split(".").reduce<Schema | undefined>((at, part) => {
    const found = at?.properties?.[part.replace("[]", "")];
    return part.endsWith("[]") ? found?.items : found;
  }, schema);
}

async function examineDeployment(
  client: KubeClient,
  { namespace, version, name }: { readonly namespace: string; readonly version: string; readonly name: string },
  findings: Findings,
): Promise<void> {
  const subject = `deployment ${namespace}/${name}`;
  await look(subject, findings, async () => {
    try {
      const { spec, status, metadata } = await client.get<Deployment>(
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
      const installed = metadata.labels?.["app.kubernetes.io/version"] ?? version;
      if (installed !== version) {
        findings.warning(
          subject,
          `has version ${installed}, this is ${version}`,
          "use the same version of both; helm upgrade",
        );
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
      findings.error(subject, "is not there", `${install}; another namespace: --install-namespace`);
    }
  });
}

async function examineLeader(client: KubeClient, namespace: string, nowMs: number, findings: Findings): Promise<void> {
  const subject = `lease ${namespace}/sidelane-operator`;
  await look(subject, findings, async () => {
    const lease = await client.find<Lease>(
      pathOf({ apiVersion: "coordination.k8s.io/v1", plural: "leases" }, namespace, "sidelane-operator"),
    );
    const { holderIdentity = "", renewTime = "", leaseDurationSeconds = 15 } = lease?.spec ?? {};
    const how = `kubectl -n ${namespace} logs deployment/sidelane-operator`;
    if (holderIdentity === "") findings.error(subject, "no operator leads: sandboxes are not worked on", how);
    else {
      const sinceMs = nowMs - Date.parse(renewTime);
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
