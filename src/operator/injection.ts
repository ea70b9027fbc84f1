// Whether a pod should have a sidecar, by the labels of its namespace and its own words.

import { API_GROUP, SANDBOX_ANNOTATION, STAMP_ANNOTATION } from "../kube/object-names.ts";
import type { KubeObject } from "../kube/object.ts";

/** Label of namespaces: `enabled` all pods, `on-request` those that ask for it. */
const INJECTION_LABEL = `${API_GROUP}/injection`;
/** Label or annotation of pods. */
const INJECT = `${API_GROUP}/inject`;
/** Annotations of pods that have a sidecar, and of those that the webhook saw and left alone, with the reason. */
const INJECTED_ANNOTATION = `${API_GROUP}/injected`;
const SKIPPED_ANNOTATION = `${API_GROUP}/skipped`;

export type Injection = "enabled" | "on-request" | "disabled";

/** What a namespace says. Namespaces where the webhook never acts are `disabled` whatever they say. */
export function injectionOf(namespace: KubeObject | undefined, ownNamespace: string): Injection {
  if (namespace === undefined) return "disabled";
  const { name, labels = {} } = namespace.metadata;
  if (name === ownNamespace || name === "kube-system") return "disabled";
  const value = labels[INJECTION_LABEL];
  return value === "enabled" || value === "on-request" ? value : "disabled";
}

/** Whether the pod's and its namespace's metadata say that there is to be a sidecar, and there is none. */
export function lacksSidecar(pod: KubeObject, injection: Injection): boolean {
  const { labels = {}, annotations = {}, deletionTimestamp } = pod.metadata;
  if (injection === "disabled" || deletionTimestamp !== undefined) return false;
  if (annotations[INJECTED_ANNOTATION] !== undefined || annotations[SKIPPED_ANNOTATION] !== undefined) return false;
  const wishes = [labels[INJECT], annotations[INJECT]];
  if (wishes.includes("false")) return false;
  // A fork's pods, and those that stamp requests, are nothing without a sidecar.
  const asks = annotations[SANDBOX_ANNOTATION] !== undefined || annotations[STAMP_ANNOTATION] !== undefined;
  return injection === "enabled" || wishes.includes("true") || asks;
}
