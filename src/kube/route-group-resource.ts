// The custom resource `RouteGroup` (deploy/helm/sidelane/definitions/routegroups.yaml), as the API server hands it out: valid by its schema.

import type { Condition } from "./conditions.ts";
import type { JsonMap, KubernetesObject } from "./object.ts";
import type { API_VERSION } from "./object-names.ts";

export const ROUTE_GROUP_KIND = "RouteGroup";
/** In paths and roles. */
export const ROUTE_GROUP_PLURAL = "routegroups";

/** Label -> its values, of which each will do. */
export type LabelValues = Readonly<Record<string, readonly string[]>>;

/** `spec` of a RouteGroup: either `sandboxes` or `match`. */
export interface RouteGroupSpec {
  /** Default: the name. */
  readonly key?: string | undefined;
  readonly owner?: string | undefined;
  readonly description?: string | undefined;
  /** In order; the first that has a service wins. `pr-7`, or `pr-7.shop` for one of another namespace. */
  readonly sandboxes?: readonly string[] | undefined;
  /** Sandboxes of the group's namespace with all labels of `all`, and one of `any` where there is an `any`. */
  readonly match?: { readonly all?: LabelValues | undefined; readonly any?: LabelValues | undefined } | undefined;
}

/** `status` of a RouteGroup. */
export interface RouteGroupStatus {
  readonly observedGeneration?: number | undefined;
  readonly key?: string | undefined;
  /** In the control plane: `release-42.shop`. */
  readonly name?: string | undefined;
  /** Sandboxes, in the control plane's names, in order. */
  readonly members?: readonly string[] | undefined;
  /** The members in one line, for the column. */
  readonly memberNames?: string | undefined;
  readonly conditions?: readonly Condition[] | undefined;
}

export interface RouteGroupResource extends KubernetesObject {
  readonly apiVersion: typeof API_VERSION;
  readonly kind: typeof ROUTE_GROUP_KIND;
  readonly metadata: KubernetesObject["metadata"] & { readonly namespace: string };
  readonly spec: RouteGroupSpec & JsonMap;
  readonly status?: RouteGroupStatus & JsonMap;
}
