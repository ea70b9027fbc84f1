// Takes away what Sidelane has put into a cluster beyond what the chart installs: run before `helm uninstall` deletes the operator,
// so that this one still takes routes away before pods, and once more after. Whatever is gone already is left out, so it can be
// repeated, and a part that fails does not keep the others from being tried.

import type { Log } from "../base/log.ts";
import { pause } from "../kube/back-off.ts";
import type { KubeClient } from "../kube/client.ts";
import { isConflict, isNotFound } from "../kube/kube-error.ts";
import { API_VERSION, FIELD_MANAGER, MANAGED_BY_LABEL } from "../kube/object-names.ts";
import { keyOf, pathOf } from "../kube/object.ts";
import type { KubeObject, ResourceType } from "../kube/object.ts";

export interface CleanupOptions {
  readonly client: Pick<KubeClient, "list" | "delete" | "patch">;
  /** Where Sidelane itself runs. */
  readonly namespace: string;
  readonly log: Log;
  /** The operator gets so long to let go of its objects; then they are taken from it. */
  readonly withinMs: number;
  /** After that, what is still there is somebody else's, and the cleaning up has failed; default 10 s. */
  readonly giveUpMs?: number;
  readonly signal?: AbortSignal;
}

const WEBHOOKS = { apiVersion: "admissionregistration.k8s.io/v1", plural: "mutatingwebhookconfigurations" };
const CONFIG_MAPS = { apiVersion: "v1", plural: "configmaps" };
const LEASES = { apiVersion: "coordination.k8s.io/v1", plural: "leases" };
const RESOURCES: readonly ResourceType[] = ["sandboxes", "routegroups"].map((plural) => ({
  apiVersion: API_VERSION,
  plural,
}));

const OWN_FINALIZERS = "sidelane.dev/";
const POLL_MS = 500;
/** So long after the finalizers were taken off, what is left is somebody else's. */
const GIVE_UP_MS = 10_000;
const NAMES_MAX = 10;

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
async function deleteResources({
  client,
  log,
  withinMs,
  giveUpMs = GIVE_UP_MS,
  signal,
}: CleanupOptions): Promise<void> {
  const deadlineMs = performance.now() + withinMs;
  // By uid: what a GitOps tool makes anew under the same name is another object.
  const asked = new Set<string>();
  let isTold = false;
  for (;;) {
    const left = await Promise.all(RESOURCES.map(async (type) => ({ type, ...(await found(client, type)) })));
    const objects = left.flatMap(({ type, items }) => items.map(({ metadata }) => ({ type, metadata })));
    if (objects.length === 0) return;
    const lateMs = performance.now() - deadlineMs;
    if (lateMs >= giveUpMs) throw new Error(stillThere(objects));
    if (lateMs >= 0 && !isTold) {
      isTold = true;
      log.warn("the operator did not let go in time: routes may outlive their pods", { objects: objects.length });
    }
    for (const { type, metadata } of objects) {
      const { namespace, name, uid = "", deletionTimestamp } = metadata;
      // Without a name it would be the path of all of them.
      if (name === undefined) continue;
      const path = pathOf(type, namespace, name);
      if (deletionTimestamp === undefined && !asked.has(uid)) await client.delete(path);
      asked.add(uid);
      if (lateMs >= 0) await freed(client, path, metadata);
    }
    await pause(POLL_MS, signal ?? new AbortController().signal);
    signal?.throwIfAborted();
  }
}

type Left = { readonly type: ResourceType; readonly metadata: KubeObject["metadata"] };

function stillThere(objects: readonly Left[]): string {
  const names = objects.slice(0, NAMES_MAX).map(({ type, metadata }) => {
    const others = foreign(metadata);
    const why = others.length === 0 ? "" : ` (finalizers of others: ${others.join(", ")})`;
    return `${type.plural} ${keyOf({ metadata })}${why}`;
  });
  const more = objects.length > NAMES_MAX ? ` and ${objects.length - NAMES_MAX} more` : "";
  return `still there: ${names.join(", ")}${more}; what makes them anew (a GitOps tool) has to be stopped first, and whoever has set a finalizer has to take it off`;
}

const foreign = ({ finalizers = [] }: KubeObject["metadata"]): readonly string[] =>
  finalizers.filter((finalizer) => !finalizer.startsWith(OWN_FINALIZERS));

/** Takes our finalizers off and leaves those of others; the version keeps one that is added meanwhile. */
async function freed(client: CleanupOptions["client"], path: string, metadata: KubeObject["metadata"]): Promise<void> {
  const { finalizers = [], resourceVersion } = metadata;
  const others = foreign(metadata);
  if (others.length === finalizers.length) return;
  try {
    const change = { metadata: { finalizers: others, resourceVersion } };
    await client.patch(path, change, "merge", { fieldManager: FIELD_MANAGER });
  } catch (error) {
    // Somebody else has changed it: it is looked at again in the next round.
    if (!isNotFound(error) && !isConflict(error)) throw error;
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
