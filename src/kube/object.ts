// Objects of the Kubernetes API as far as everything here reads them. Kinds with more to them extend `KubeObject` beside their users.

/** A JSON object. */
export type JsonMap = Readonly<Record<string, unknown>>;

/** Labels, annotations, and the selectors of Services. */
export type Labels = Readonly<Record<string, string>>;

/** https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/ */
export interface ObjectMeta {
  readonly name: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly generation?: number;
  /** RFC 3339. */
  readonly creationTimestamp?: string;
  /** RFC 3339; present once deletion was asked for. */
  readonly deletionTimestamp?: string;
  readonly labels?: Labels;
  readonly annotations?: Labels;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: readonly OwnerReference[];
}

export interface OwnerReference {
  readonly apiVersion: string;
  readonly kind: string;
  readonly name: string;
  readonly uid: string;
  readonly controller?: boolean;
  readonly blockOwnerDeletion?: boolean;
}

/** Any object. Items of lists lack `apiVersion` and `kind`. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: ObjectMeta;
}

/**
 * An object by itself, typed as far as everybody reads it: a live one may have fields of a newer version of Kubernetes, and whoever
 * copies it copies these too. Items of lists lack `apiVersion` and `kind`; an informer gives them these.
 */
export interface KubernetesObject extends KubeObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec?: JsonMap;
  readonly status?: JsonMap;
}

/** One list, all its pages. */
export interface KubeList<T> {
  /** Where a watch goes on from. */
  readonly resourceVersion: string;
  readonly items: readonly T[];
}

/** https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes */
export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK";
  readonly object: T;
}

/** `shop/checkout`; only the name where there is no namespace. */
export function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`;
}

/** Which objects. `plural`: `deployments`. */
export interface ResourceType {
  /** `v1`, `apps/v1` */
  readonly apiVersion: string;
  readonly plural: string;
}

/** Path of a collection, or of one object of it; without a namespace of all namespaces, or of a cluster's own objects. */
export function pathOf({ apiVersion, plural }: ResourceType, namespace?: string, name?: string): string {
  const root = apiVersion.includes("/") ? `/apis/${apiVersion}` : `/api/${apiVersion}`;
  const within = namespace === undefined || namespace === "" ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  return `${root}${within}/${plural}${name === undefined ? "" : `/${encodeURIComponent(name)}`}`;
}
