// What the operator has written down for objects of Kubernetes is changed there: it would put back here whatever somebody else
// changed. This guards against mistakes, not against malice: whoever may write may say that they are the operator.

import { FIELD_MANAGER as OPERATOR, MANAGED_BY_LABEL as LABEL, NAMESPACE_LABEL } from "../kube/object-names.ts";
import type { Rejection } from "./plans.ts";
import type { Kind, Resource } from "./resource.ts";

/** Field of a request: on whose behalf something is written. */
export const MANAGER_FIELD = "sidelane-manager";

/** Why this resource is not changed or deleted by `manager` ("" nobody in particular). */
export function managedRefusal(resource: Resource | undefined, manager: string): Rejection | undefined {
  if (resource === undefined || manager === OPERATOR || resource.spec.labels[LABEL] !== OPERATOR) return undefined;
  const { kind, namespace, name } = kubernetesObject(resource);
  const what = kind === "RouteGroup" ? "routegroup" : kind.toLowerCase();
  const message = `${resource.kind} ${resource.name} is managed by ${kind} ${namespace}/${name} in Kubernetes; change it there: kubectl -n ${namespace} edit ${what} ${name}`;
  return { refused: "managed", message };
}

/** Why a spec with this label is not taken from `manager`: whoever wrote it could not change it any more. */
export function labelRefusal(spec: object, manager: string): Rejection | undefined {
  const { labels } = spec as { readonly labels?: Readonly<Record<string, string>> };
  if (manager === OPERATOR || labels?.[LABEL] !== OPERATOR) return undefined;
  const message = `the label ${LABEL}: ${OPERATOR} is for what the operator writes`;
  const field = { pointer: `/labels/${LABEL.replaceAll("/", "~1")}`, message, hint: "leave it out" };
  return { refused: "invalid", message: `${message}, leave it out`, fields: [field] };
}

const kinds: Readonly<Record<Kind, string>> = { service: "Service", sandbox: "Sandbox", group: "RouteGroup" };

/** A resource is called `NAME.NAMESPACE` of its object; a namespace has no dots. */
function kubernetesObject({ kind, name, spec }: Resource) {
  const at = name.lastIndexOf(".");
  const namespace = spec.labels[NAMESPACE_LABEL] ?? (at === -1 ? "NAMESPACE" : name.slice(at + 1));
  const suffix = `.${namespace}`;
  return { kind: kinds[kind], namespace, name: name.endsWith(suffix) ? name.slice(0, -suffix.length) : name };
}
