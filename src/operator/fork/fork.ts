// A fork: the baseline's workload as it is now, with the sandbox's change, under a name of its own and with labels that no Service
// of the namespace selects. Pure: live objects in, objects to apply out, the same for the same input.
//
// Guarantees, each held by a property test:
// - no Service that somebody else made selects the pods of a fork;
// - what comes out can be applied by server-side apply as it is: no null, no undefined, no list with a key twice;
// - a baseline that was injected already leads to the same fork as one that was not.

import { isMap } from "../../base/is-map.ts";
import { INJECT } from "../../kube/injected-pod.ts";
import type { KubernetesObject } from "../../kube/object.ts";
import type { ForkSpec, SandboxResource } from "../../kube/sandbox-resource.ts";
import { changed } from "./change.ts";
import { clean, mapAt, mapsAt, textAt } from "./json.ts";
import { forkLabels } from "./labels.ts";
import { forkName } from "./name.ts";
import { routesOf } from "./routes.ts";
import { forkServices } from "./services.ts";
import { baselineTemplate } from "./template.ts";
import { surroundings } from "./surroundings.ts";
import { unforkable } from "./unforkable.ts";
import { forkWorkload } from "./workload.ts";

export interface ForkInput {
  readonly sandbox: SandboxResource;
  readonly namespace: string;
  /** The live baseline: Deployment, StatefulSet, Pod, Job or CronJob. */
  readonly workload: KubernetesObject;
  /** Every Service of the namespace. */
  readonly services: readonly KubernetesObject[];
  /** One of `sandbox.spec.forks`. */
  readonly forkSpec: ForkSpec;
  /**
   * What else is known of the namespace: other workloads and PodDisruptionBudgets (their selectors must not take the fork's pods),
   * NetworkPolicies and HorizontalPodAutoscalers (for remarks). Default none.
   */
  readonly others?: readonly KubernetesObject[] | undefined;
}

/** A Service of the baseline that the fork answers for. */
export interface ForkRoute {
  /** Name of the baseline's Service. */
  readonly service: string;
  /** Name of the headless Service of the fork; its EndpointSlices have the addresses, with the baseline's port names. */
  readonly forkService: string;
  /** The TCP ports by name ("" where the only port has none), with the number in the fork's pods. */
  readonly ports: readonly { readonly name: string; readonly port: number; readonly containerPort: number }[];
}

export interface BuiltFork {
  /** Of the fork; the workload's name too, except of a Job, where a hash of its content follows. */
  readonly name: string;
  /** The workload, and a headless Service for each route; none when there are problems. */
  readonly objects: readonly KubernetesObject[];
  /** Services of the baseline that it answers for; the first is the one that its sidecars are named for. */
  readonly serviceNames: readonly string[];
  readonly routes: readonly ForkRoute[];
  /** Of the first container that the fork changes, else of the first; "" when there is none. */
  readonly image: string;
  /** Why it cannot be built: sentences that say what is there instead. What was applied before stays as it is. */
  readonly problems: readonly string[];
  /** What somebody should know, but that stops nothing. */
  readonly remarks: readonly string[];
}

/** Builds the objects of one fork from what is live now. Never throws for what a live object or a spec may hold. */
export function buildFork(input: ForkInput): BuiltFork {
  const { sandbox, namespace, workload, services, forkSpec, others = [] } = input;
  const name = forkName(sandbox, forkSpec.workload);
  const problems = [...unforkable(input, name)];
  const remarks: string[] = [];

  const baseline = baselineTemplate(workload);
  const change = changed(baseline, forkSpec);
  problems.push(...change.problems);
  remarks.push(...change.remarks);

  const { labels: ownLabels, annotations } = mapAt(change.template, "metadata");
  const isOnce = workload.kind === "Job" || workload.kind === "CronJob";
  if (isOnce && [ownLabels, annotations].some((map) => isMap(map) && map[INJECT] === "false")) {
    problems.push(
      `the pods of ${workload.kind} ${workload.metadata.name} say ${INJECT}: "false", and without a sidecar the fork's requests would go to the baseline; add \`patch: { metadata: { annotations: { ${INJECT}: "true" } } }\` (or labels, where it stands)`,
    );
  }

  const answered = forkServices(input, baseline);
  problems.push(...answered.problems);
  remarks.push(...answered.remarks);
  const routed = routesOf({ name, forkSpec, baseline, template: change.template, services: answered.services });
  problems.push(...routed.problems);
  remarks.push(...routed.remarks);

  const labels = forkLabels({ sandbox, name, workload, template: change.template, services, others });
  const serviceNames = answered.services.map(({ metadata }) => metadata.name);
  const changedNames = (forkSpec.containers ?? []).map((container) => container.name);
  const containers = mapsAt(mapAt(change.template, "spec"), "containers");
  const shown = containers.find((container) => changedNames.includes(textAt(container, "name"))) ?? containers[0];
  const image = shown === undefined ? "" : textAt(shown, "image");
  const built = { name, serviceNames, routes: routed.routes, image };
  if (problems.length > 0) return { ...built, objects: [], problems, remarks };

  const made = { sandbox, namespace, workload, forkSpec, name, labels, template: change.template, answered };
  const object = forkWorkload({ ...made, forkServices: routed.routes.map(({ forkService }) => forkService) });
  remarks.push(...labels.remarks, ...surroundings({ baseline, object, workload, forkSpec, others, labels }));
  const objects = [object, ...routed.services(made)].map((one) => clean(one));
  return { ...built, objects, problems, remarks };
}
