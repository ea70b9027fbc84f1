// A Sandbox that is being deleted: its routes go first, everywhere, and the pods when no request is in flight at them any more.

import { pathOf } from "../../kube/object.ts";
import type { SandboxResource } from "../../kube/sandbox-resource.ts";
import type { Outcome } from "../../kube/work-queue.ts";
import { tableName } from "../../kube/object-names.ts";
import { SANDBOXES } from "../cluster.ts";
import { controlProblem, isGone, isOwn, isRefusal } from "../control-plane.ts";
import type { OperatorContext } from "../operator-context.ts";
import { FINALIZER, letGo } from "./forks.ts";
import type { Forks } from "./forks.ts";

/** So long the pods stay for sidecars that do not say that they have heard, and for requests that do not end. */
const WITHIN_MS = 60_000;
/** Waited for at a time, so that a deletion holds up no worker. */
const SLICE_MS = 3000;
const AGAIN_MS = 500;

/** One step; rejects when something could not be asked and there is time left. */
export async function finalizeSandbox(
  context: OperatorContext,
  forks: Forks,
  sandbox: SandboxResource,
  signal: AbortSignal,
): Promise<Outcome> {
  const { kube, events, log } = context;
  const { namespace, name, deletionTimestamp = "", finalizers = [] } = sandbox.metadata;
  const path = pathOf(SANDBOXES, namespace, name);
  if (!finalizers.includes(FINALIZER)) return undefined;
  const leftMs = Date.parse(deletionTimestamp) + WITHIN_MS - Date.now();
  const problem = await withdraw(context, sandbox, signal, leftMs);
  if (problem !== undefined) {
    if (leftMs > 0) return { againMs: AGAIN_MS };
    const message = `its pods are deleted although requests may still be sent to them: ${problem}`;
    await events.record(
      { apiVersion: sandbox.apiVersion, kind: sandbox.kind, object: sandbox },
      "Warning",
      "RoutesRemain",
      message,
    );
    log.warn("a sandbox goes before its routes", { sandbox: `${namespace}/${name}`, why: problem });
  }
  await forks.remove(forks.owned(sandbox));
  await letGo({ kube }, path);
  log.info("sandbox deleted", { sandbox: `${namespace}/${name}` });
  return undefined;
}

/** Undefined: nothing is routed to it any more; else what remains. */
async function withdraw(
  { control, cluster, queues }: OperatorContext,
  sandbox: SandboxResource,
  signal: AbortSignal,
  leftMs: number,
): Promise<string | undefined> {
  const { namespace } = sandbox.metadata;
  const name = tableName(sandbox.metadata.name, namespace);
  try {
    const client = await control.client();
    const view = await client.find("sandbox", name);
    if (view !== undefined && !isOwn(view)) return undefined; // not what we made
    if (view !== undefined) await client.remove("sandbox", name, undefined);
    let last = "";
    for await (const event of client.wait(name, "deleted", Math.max(0, Math.min(SLICE_MS, leftMs)), signal)) {
      if (event.kind !== "done") continue;
      if (event.reached) return undefined;
      last = event.message;
    }
    return last === "" ? "the control plane does not say that its routes are gone" : last;
  } catch (error) {
    if (isGone(error)) return undefined;
    // Groups that name it let go of it first.
    if (isRefusal(error)) {
      for (const { metadata } of cluster.routeGroups.list())
        queues.groups.add(`${metadata.namespace}/${metadata.name}`);
      return controlProblem(error);
    }
    if (leftMs > 0) throw error;
    return controlProblem(error);
  }
}
