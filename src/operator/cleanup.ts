// Takes away what Sidelane has put into a cluster beyond what the chart installs: run before `helm uninstall` deletes the operator,
// so that this one still takes routes away before pods, and once more after. Whatever is gone already is left out, so it can be
// repeated, and a part that fails does not keep the others from being tried.

import type { Log } from "../base/log.ts";
import { pause } from "../kube/back-off.ts";
import type { KubeClient } from "../kube/client.ts";
import { isNotFound } from "../kube/kube-error.ts";
import { API_VERSION, FIELD_MANAGER, MANAGED_BY_LABEL } from "../kube/object-names.ts";
import { pathOf } from "../kube/object.ts";
import type { KubeObject, ResourceType } from "../kube/object.ts";

export interface CleanupOptions {
  readonly client: Pick<KubeClient, "list" | "delete" | "patch">;
  /** Where Sidelane itself runs. */
  readonly namespace: string;
  readonly log: Log;
  /** The operator gets so long to let go of its objects; then they are taken from it. */
  readonly withinMs: number;
  readonly signal?: AbortSignal;
}

const WEBHOOKS = { apiVersion: "admissionregistration.k8s.io/v1", plural: "mutatingwebhookconfigurations" };
const CONFIG_MAPS = { apiVersion: "v1", plural: "configmaps" };
const LEASES = { apiVersion: "coordination.k8s.io/v1", plural: "leases" };
const RESOURCES: readonly ResourceType[] = ["sandboxes", "routegroups"].map((plural) => ({
  apiVersion: API_VERSION,
  plural,
}));

const POLL_MS = 500;

/** True when nothing is left; else the log says what, and why. */
export async function cleanUp(options: CleanupOptions): Promise<boolean> {
  const { client, namespace, log } = options;
  let isDone = true;
  const attempt = async (what: string, act: () => Promise<void>): Promise<void> => {
    try {
      await act();
    } catch (error) {
      isDone = false;
      log.error(`${what} could not be deleted: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  // First, so that no pod gets a sidecar any more whose control plane is about to go.
  await attempt("MutatingWebhookConfiguration sidelane", async () => {
    if (await client.delete(pathOf(WEBHOOKS, undefined, "sidelane"))) log.info("pods get no sidecars any more");
  });
  await attempt("Sandboxes and RouteGroups", () => deleteResources(options));
  await attempt("ConfigMaps sidelane-ca", async () => {
    const { items } = await found(client, CONFIG_MAPS, { fieldSelector: "metadata.name=sidelane-ca" });
    for (const { metadata } of items) {
      if (metadata.name === undefined || metadata.labels?.[MANAGED_BY_LABEL] !== FIELD_MANAGER) continue;
      await client.delete(pathOf(CONFIG_MAPS, metadata.namespace, metadata.name));
    }
    log.info("deleted the authority's certificate from all namespaces", { configMaps: items.length });
  });
  await attempt(`Leases of ${namespace}`, async () => {
    const { items } = await found(client, LEASES, {}, namespace);
    for (const { metadata } of items) {
      const { name } = metadata;
      if (name !== undefined && /^sidelane-(?:operator$|control-)/u.test(name))
        await client.delete(pathOf(LEASES, namespace, name));
    }
  });
  return isDone;
}

/** Deletes all, waits until the operator has let go of them, and takes its finalizers off when it does not. */
async function deleteResources({ client, log, withinMs, signal }: CleanupOptions): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  let asked = new Set<string>();
  for (;;) {
    const left = await Promise.all(RESOURCES.map(async (type) => ({ type, ...(await found(client, type)) })));
    const objects = left.flatMap(({ type, items }) => items.map(({ metadata }) => ({ type, metadata })));
    if (objects.length === 0) return;
    const isLate = performance.now() >= deadlineMs;
    if (isLate)
      log.warn("the operator did not let go in time: routes may outlive their pods", { objects: objects.length });
    // What is made meanwhile is deleted in the next round.
    for (const { type, metadata } of objects) {
      const { namespace, name, finalizers = [], deletionTimestamp } = metadata;
      // Without a name it would be the path of all of them.
      if (name === undefined) continue;
      const path = pathOf(type, namespace, name);
      if (deletionTimestamp === undefined && !asked.has(path)) await client.delete(path);
      asked = asked.add(path);
      if (isLate && finalizers.length > 0) await freed(client, path);
    }
    await pause(POLL_MS, signal ?? new AbortController().signal);
    signal?.throwIfAborted();
  }
}

async function freed(client: CleanupOptions["client"], path: string): Promise<void> {
  try {
    await client.patch(path, { metadata: { finalizers: null } }, "merge", { fieldManager: FIELD_MANAGER });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Nothing when the kind itself is gone. */
async function found(
  client: CleanupOptions["client"],
  type: ResourceType,
  selection: { readonly fieldSelector?: string } = {},
  namespace?: string,
): Promise<{ readonly items: readonly KubeObject[] }> {
  try {
    return await client.list(pathOf(type, namespace), { ...selection, metadataOnly: true });
  } catch (error) {
    if (isNotFound(error)) return { items: [] };
    throw error;
  }
}
