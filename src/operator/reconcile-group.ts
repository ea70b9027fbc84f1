// One RouteGroup: a group of the control plane, with those of its sandboxes that are there.

import { isDeepStrictEqual } from "node:util";
import type { Spec } from "../client/resource-view.ts";
import { withCondition } from "../kube/conditions.ts";
import { FIELD_MANAGER, NAMESPACE_LABEL, tableName } from "../kube/object-names.ts";
import { pathOf } from "../kube/object.ts";
import type { RouteGroupResource, RouteGroupStatus } from "../kube/route-group-resource.ts";
import type { Outcome } from "../kube/work-queue.ts";
import { ROUTE_GROUPS } from "./cluster.ts";
import { controlProblem, errorOf, isGone, isOwn, isRefusal, ownLabels } from "./control-plane.ts";
import { claimText } from "./key-claims.ts";
import type { OperatorContext } from "./operator-context.ts";
import { letGo, FINALIZER } from "./sandbox/forks.ts";

const READY_MS = 300_000;
const NOT_READY_MS = 5000;
/** A group that cannot be deleted in the control plane for so long is left to the sweep. */
const WITHIN_MS = 60_000;

/** What is so with a group. */
interface Found {
  readonly status: "True" | "False" | "Unknown";
  readonly reason:
    | "Ready"
    | "KeyTaken"
    | "NameTaken"
    | "UnknownSandbox"
    | "NoMembers"
    | "ControlRefused"
    | "ControlUnreachable";
  readonly message: string;
  readonly members: readonly string[];
}

/** `key`: namespace/name. Rejects when the control plane or the API server could not be asked. */
export async function reconcileGroup(context: OperatorContext, key: string): Promise<Outcome> {
  const group = context.cluster.routeGroups.get(key);
  if (group === undefined) return undefined;
  const { kube, claims } = context;
  const { namespace, name, uid = "", finalizers = [], resourceVersion, deletionTimestamp } = group.metadata;
  const path = pathOf(ROUTE_GROUPS, namespace, name);
  if (deletionTimestamp !== undefined) {
    if (!finalizers.includes(FINALIZER)) return undefined;
    try {
      await withdraw(context, group);
    } catch (error) {
      if (Date.now() - Date.parse(deletionTimestamp) < WITHIN_MS) throw error;
      context.log.warn("a group goes before its routes", { group: key, error: controlProblem(error) });
    }
    await letGo(context, path);
    return undefined;
  }
  if (!finalizers.includes(FINALIZER)) {
    const metadata = { resourceVersion, finalizers: [...finalizers, FINALIZER] };
    await kube.patch(path, { metadata }, "merge", { fieldManager: FIELD_MANAGER });
  }
  const routingKey = group.spec.key ?? name;
  const holder = claims.holderInsteadOf(uid, routingKey);
  if (holder !== undefined) {
    await withdraw(context, group);
    const message = `the routing key ${routingKey} belongs to the older ${claimText(holder)}; give one of them another spec.key`;
    await tell(context, group, { status: "False", reason: "KeyTaken", message, members: [] });
    return { againMs: READY_MS };
  }
  let failed: Error | undefined;
  let found: Found;
  try {
    found = await write(context, group);
  } catch (failure) {
    failed = errorOf(failure);
    const isWord = isRefusal(failure);
    const status = isWord ? "False" : "Unknown";
    found = {
      status,
      reason: isWord ? "ControlRefused" : "ControlUnreachable",
      message: controlProblem(failure),
      members: [],
    };
  }
  await tell(context, group, found);
  if (failed !== undefined) throw failed;
  return { againMs: found.status === "True" ? READY_MS : NOT_READY_MS };
}

/** The spec for the control plane, with the sandboxes that it knows. Pure. */
export function groupSpec(
  group: RouteGroupResource,
  isKnown: (sandbox: string) => boolean,
): { readonly spec: Spec; readonly missing: readonly string[] } {
  const { namespace, name, labels } = group.metadata;
  const { key = name, owner, description, sandboxes, match } = group.spec;
  const common = {
    key,
    labels: ownLabels(namespace, labels),
    ...(owner === undefined ? {} : { owner }),
    ...(description === undefined ? {} : { description }),
  };
  if (sandboxes === undefined) {
    // Labels are only a namespace's own business.
    const all = { ...match?.all, [NAMESPACE_LABEL]: namespace };
    return {
      spec: { ...common, match: { all, ...(match?.any === undefined ? {} : { any: match.any }) } },
      missing: [],
    };
  }
  const full = sandboxes.map((one) => (one.includes(".") ? one : tableName(one, namespace)));
  const spec = { ...common, sandboxes: full.filter((one) => isKnown(one)) };
  return { spec, missing: full.filter((one) => !isKnown(one)) };
}

async function write({ control, cluster }: OperatorContext, group: RouteGroupResource): Promise<Found> {
  const name = tableName(group.metadata.name, group.metadata.namespace);
  const client = await control.client();
  const before = await client.find("group", name);
  if (before !== undefined && !isOwn(before)) {
    const message = `the control plane has a group ${name} that was not made from Kubernetes; delete it: sidelane group delete ${name}`;
    return { status: "False", reason: "NameTaken", message, members: [] };
  }
  const known = new Set<string>();
  const leaving = new Set(
    cluster.sandboxes
      .list()
      .flatMap(({ metadata }) =>
        metadata.deletionTimestamp === undefined ? [] : [tableName(metadata.name, metadata.namespace)],
      ),
  );
  for (const one of group.spec.sandboxes ?? []) {
    const full = one.includes(".") ? one : tableName(one, group.metadata.namespace);
    if (!leaving.has(full) && (await client.find("sandbox", full)) !== undefined) known.add(full);
  }
  const { spec, missing } = groupSpec(group, (one) => known.has(one));
  const view = await client.replace("group", name, spec, { ifVersion: undefined, allowUnknownServices: false });
  const listed = view.whole["members"];
  const members = Array.isArray(listed) ? listed.filter((one) => typeof one === "string") : [...known];
  if (missing.length > 0) {
    const message = `there is no sandbox ${missing.join(", ")}: what it changes is answered by the next sandbox that has it, or the baseline`;
    return { status: "False", reason: "UnknownSandbox", message, members };
  }
  if (members.length === 0) {
    return {
      status: "False",
      reason: "NoMembers",
      message: "no sandbox has its labels: every request goes to the baseline",
      members,
    };
  }
  return { status: "True", reason: "Ready", message: "the control plane has it with all of its sandboxes", members };
}

async function withdraw({ control }: OperatorContext, { metadata }: RouteGroupResource): Promise<void> {
  const name = tableName(metadata.name, metadata.namespace);
  const client = await control.client();
  const view = await client.find("group", name);
  if (view === undefined || !isOwn(view)) return;
  try {
    await client.remove("group", name, undefined);
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

async function tell({ kube, events }: OperatorContext, group: RouteGroupResource, found: Found): Promise<void> {
  const { namespace, name, generation } = group.metadata;
  const before = group.status ?? {};
  const { status, reason, message, members } = found;
  const now = new Date().toISOString().replace(/\.\d+Z$/u, "Z");
  const finding = { type: "Ready", status, reason, message, observedGeneration: generation };
  const next: RouteGroupStatus = {
    ...(generation === undefined ? {} : { observedGeneration: generation }),
    key: group.spec.key ?? name,
    name: tableName(name, namespace),
    members,
    memberNames: members.map((one) => one.replace(new RegExp(`\\.${namespace}$`, "u"), "")).join(","),
    conditions: withCondition(before.conditions ?? [], finding, now),
  };
  if (isDeepStrictEqual(before, next)) return;
  await kube.patch(`${pathOf(ROUTE_GROUPS, namespace, name)}/status`, { status: next }, "merge", {
    fieldManager: FIELD_MANAGER,
  });
  if (status === "True" || before.conditions?.[0]?.reason === reason) return;
  void events.record({ apiVersion: group.apiVersion, kind: group.kind, object: group }, "Warning", reason, message);
}
