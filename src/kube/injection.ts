// Whether a pod should have a sidecar, by the labels of its namespace and its own words.

import { INJECT, INJECTED, INJECTION, SKIPPED } from "./injected-pod.ts";
import { SANDBOX_ANNOTATION, STAMP_ANNOTATION } from "./object-names.ts";
import type { KubeObject } from "./object.ts";

/** Namespaces of the cluster itself: whatever they say, what is in them is left alone. */
export const SYSTEM_NAMESPACES: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease"]);

/** Selects the namespaces that say something about it. */
export const WITH_INJECTION = `${INJECTION} in (enabled,on-request)`;

export type Injection = "enabled" | "on-request" | "disabled";

/** What a namespace says. Namespaces where the webhook never acts are `disabled` whatever they say. */
export function injectionOf(namespace: KubeObject | undefined, ownNamespace: string): Injection {
  if (namespace === undefined) return "disabled";
  const { name, labels = {} } = namespace.metadata;
  if (name === ownNamespace || SYSTEM_NAMESPACES.has(name)) return "disabled";
  const value = labels[INJECTION];
  return value === "enabled" || value === "on-request" ? value : "disabled";
}

/** Whether the pod's and its namespace's metadata say that there is to be a sidecar, and there is none. */
export function lacksSidecar(pod: KubeObject, injection: Injection): boolean {
  const { labels = {}, annotations = {}, deletionTimestamp } = pod.metadata;
  if (injection === "disabled" || deletionTimestamp !== undefined) return false;
  if (annotations[INJECTED] !== undefined || annotations[SKIPPED] !== undefined) return false;
  const wishes = [labels[INJECT], annotations[INJECT]];
  if (wishes.includes("false")) return false;
  // A fork's pods, and those that stamp requests, are nothing without a sidecar.
  const asks = annotations[SANDBOX_ANNOTATION] !== undefined || annotations[STAMP_ANNOTATION] !== undefined;
  return injection === "enabled" || wishes.includes("true") || asks;
}
