// What the roles may do, asked of the API server as it would decide: a role or a binding that is gone shows here before anybody
// wonders why nothing happens.

import type { KubeClient } from "../../kube/client.ts";
import { API_GROUP } from "../../kube/object-names.ts";
import type { Findings } from "../finding.ts";
import { look } from "./look.ts";

interface Right {
  /** "" for the core. */
  readonly group: string;
  /** `deployments`, `sandboxes/status` */
  readonly resource: string;
  readonly verbs: readonly string[];
  /** In the namespace of the installation alone. */
  readonly isOwn?: boolean;
  readonly name?: string;
}

const write = ["list", "watch", "create", "patch", "delete"];

/** The rights that each role cannot do without, however certificates are made (deploy/helm/sidelane/templates/rights.yaml has all). */
const rights: Readonly<Record<string, readonly Right[]>> = {
  control: [
    {
      group: API_GROUP,
      resource: "tablecommits",
      verbs: ["get", "list", "watch", "create", "update", "delete"],
      isOwn: true,
    },
    { group: "coordination.k8s.io", resource: "leases", verbs: ["list", "create", "update", "delete"], isOwn: true },
    { group: "authentication.k8s.io", resource: "tokenreviews", verbs: ["create"] },
  ],
  webhook: [
    { group: "", resource: "namespaces", verbs: ["get", "list", "watch"] },
    { group: "", resource: "services", verbs: ["list", "watch"] },
  ],
  operator: [
    {
      group: "coordination.k8s.io",
      resource: "leases",
      verbs: ["get", "update"],
      isOwn: true,
      name: "sidelane-operator",
    },
    { group: "coordination.k8s.io", resource: "leases", verbs: ["create"], isOwn: true },
    ...["sandboxes", "routegroups"].flatMap((resource) => [
      { group: API_GROUP, resource, verbs: ["get", "list", "watch", "patch"] },
      { group: API_GROUP, resource: `${resource}/status`, verbs: ["patch"] },
    ]),
    { group: "", resource: "namespaces", verbs: ["list", "watch"] },
    { group: "", resource: "pods", verbs: ["get", "list", "watch"] },
    { group: "discovery.k8s.io", resource: "endpointslices", verbs: ["list", "watch"] },
    { group: "", resource: "services", verbs: write },
    ...["deployments", "statefulsets"].map((resource) => ({ group: "apps", resource, verbs: ["get", ...write] })),
    ...["jobs", "cronjobs"].map((resource) => ({ group: "batch", resource, verbs: ["get", ...write] })),
    { group: "", resource: "events", verbs: ["create", "patch"] },
    { group: "", resource: "configmaps", verbs: ["create", "patch"], name: "sidelane-ca" },
  ],
};

interface Review {
  readonly status?: { readonly allowed?: boolean };
}

/** Whether each role may what it has to. */
export async function examineRights(client: KubeClient, namespace: string, findings: Findings): Promise<void> {
  for (const [role, needed] of Object.entries(rights)) {
    const subject = `rights of ${namespace}/sidelane-${role}`;
    await look(subject, findings, async () => {
      const asked = needed.flatMap((right) => right.verbs.map((verb) => ({ ...right, verb })));
      const answers = await Promise.all(
        asked.map(async (right) => ({ right, isAllowed: await mayDo(client, namespace, role, right) })),
      );
      const denied = answers.filter(({ isAllowed }) => !isAllowed).map(({ right }) => right);
      if (denied.length === 0) findings.good(subject, "may do all that it has to");
      else {
        const words = denied.map(
          ({ verb, resource, group }) => `${verb} ${resource}${group === "" ? "" : `.${group}`}`,
        );
        findings.error(
          subject,
          `it may not ${words.slice(0, 5).join(", ")}${words.length > 5 ? ` and ${words.length - 5} more` : ""}`,
          `its Role, ClusterRole or their bindings were changed: helm upgrade sidelane, or kubectl apply the manifests, puts them back`,
        );
      }
    });
  }
}

async function mayDo(
  client: KubeClient,
  namespace: string,
  role: string,
  { group, resource, verb, isOwn = false, name }: Right & { readonly verb: string },
): Promise<boolean> {
  const [plural, subresource] = resource.split("/");
  const account = `system:serviceaccount:${namespace}:sidelane-${role}`;
  const review = await client.create<Review>("/apis/authorization.k8s.io/v1/subjectaccessreviews", {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    spec: {
      user: account,
      groups: ["system:serviceaccounts", `system:serviceaccounts:${namespace}`, "system:authenticated"],
      resourceAttributes: {
        ...{ group, resource: plural, verb },
        ...(subresource === undefined ? {} : { subresource }),
        ...(isOwn ? { namespace } : {}),
        ...(name === undefined ? {} : { name }),
      },
    },
  });
  return review.status?.allowed === true;
}
