// The Services of a namespace as services of the control plane: made, followed and deleted; those that people made are left alone.

import type { Spec } from "../client/resource-view.ts";
import { API_VERSION, tableName } from "../kube/object-names.ts";
import type { Outcome } from "../kube/work-queue.ts";
import { controlProblem, isGone, isOwn, isRefusal, ownFilter } from "./control-plane.ts";
import { injectionOf } from "../kube/injection.ts";
import type { OperatorContext } from "./operator-context.ts";
import { tableService } from "./table-service.ts";

/** Somebody may have changed the control plane, or it may have been restored from what it was yesterday. */
const AGAIN_MS = 60_000;

/** What of a namespace the control plane is to have. */
function servicesOf(
  { cluster, ownNamespace, clusterDomain }: OperatorContext,
  namespace: string,
): ReadonlyMap<string, Spec> {
  if (injectionOf(cluster.namespaces.get(namespace), ownNamespace) === "disabled") return new Map();
  return new Map(
    cluster.servicesOf(namespace).flatMap((service) => {
      const spec = tableService(service, clusterDomain);
      return spec === undefined ? [] : [[tableName(service.metadata.name, namespace), spec] as const];
    }),
  );
}

/** Makes it so. Rejects when the control plane cannot be asked; refusals become events, and it is tried again. */
export async function reconcileServices(context: OperatorContext, namespace: string): Promise<Outcome> {
  const { control, log } = context;
  const wanted = servicesOf(context, namespace);
  const client = await control.client();
  const own = await client.list("service", ownFilter(namespace));
  const options = { ifVersion: undefined, allowUnknownServices: false };
  let refused = 0;
  for (const [name, spec] of wanted) {
    try {
      if (own.some((one) => one.name === name)) await client.replace("service", name, spec, options);
      else {
        const found = await client.find("service", name);
        if (found !== undefined && !isOwn(found)) continue; // people's own word about it
        await client.replace("service", name, spec, options);
        log.info("service found", { service: name });
      }
    } catch (error) {
      if (!isRefusal(error)) throw error;
      refused++;
      tellRefusal(context, namespace, name, controlProblem(error));
    }
  }
  for (const { name, version } of own) {
    if (wanted.has(name)) continue;
    try {
      await client.remove("service", name, version);
      log.info("service gone", { service: name });
    } catch (error) {
      if (isGone(error)) continue;
      if (!isRefusal(error)) throw error;
      refused++; // a sandbox names it still
      log.debug("a service stays", { service: name, why: controlProblem(error) });
    }
  }
  if (wanted.size === 0 && own.length === 0) return undefined;
  return { againMs: refused > 0 ? AGAIN_MS / 6 : AGAIN_MS };
}

function tellRefusal({ cluster, events, log }: OperatorContext, namespace: string, name: string, why: string): void {
  log.warn("the control plane refused a service", { service: name, error: why });
  const object = cluster.servicesOf(namespace).find(({ metadata }) => tableName(metadata.name, namespace) === name);
  if (object === undefined) return;
  void events.record(
    { apiVersion: "v1", kind: "Service", object },
    "Warning",
    "NotRouted",
    `Sidelane cannot route to it: ${why} (${API_VERSION})`,
  );
}
