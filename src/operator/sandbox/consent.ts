// Services of other namespaces in a Sandbox. Whoever may make Sandboxes in one namespace must not take requests from the services of
// another, so the other namespace has to say yes, in an annotation that only those write who may edit the namespace.

import type { KubeObject } from "../../kube/object.ts";
import { API_GROUP, tableName } from "../../kube/object-names.ts";
import type { SandboxResource } from "../../kube/sandbox-resource.ts";

/** On a Namespace: the namespaces, with commas, whose Sandboxes may answer for its services; `*` for all. */
export const SANDBOXES_FROM_ANNOTATION = `${API_GROUP}/sandboxes-from`;

/** `checkout` of the sandbox's own namespace, or `checkout.shop` as it is. */
export function fullName(service: string, { metadata }: SandboxResource): string {
  return service.includes(".") ? service : tableName(service, metadata.namespace);
}

/**
 * The services (`checkout.pay`) that a Sandbox names and must not answer for. A name that ends in no namespace of the cluster is none of
 * Kubernetes: somebody has declared it in the control plane, and it is nobody's here.
 */
export function servicesWithoutConsent(
  sandbox: SandboxResource,
  namespaceOf: (name: string) => KubeObject | undefined,
): ReadonlySet<string> {
  const { namespace: own } = sandbox.metadata;
  const { endpoints = [], connect = [] } = sandbox.spec;
  const refused = new Set<string>();
  for (const { service } of [...endpoints, ...connect]) {
    const name = fullName(service, sandbox);
    const namespace = namespaceOf(name.slice(name.indexOf(".") + 1));
    if (namespace === undefined || namespace.metadata.name === own) continue;
    const allowed = (namespace.metadata.annotations?.[SANDBOXES_FROM_ANNOTATION] ?? "").split(",");
    if (!allowed.some((one) => one.trim() === own || one.trim() === "*")) refused.add(name);
  }
  return refused;
}

/** What to do about it, for a condition. */
export function withoutConsentText(refused: ReadonlySet<string>, { metadata }: SandboxResource): string {
  const namespaces = [...new Set([...refused].map((name) => name.slice(name.indexOf(".") + 1)))].toSorted();
  const commands = namespaces.map(
    (name) => `kubectl annotate namespace ${name} ${SANDBOXES_FROM_ANNOTATION}=${metadata.namespace}`,
  );
  const which = [...refused].toSorted().join(", ");
  return `a Sandbox of namespace ${metadata.namespace} may not answer for ${which}; whoever keeps namespace ${namespaces.join(", ")} can allow it: ${commands.join("; ")}`;
}
