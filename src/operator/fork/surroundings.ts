// What around a workload does not hold for its fork, or holds for both: claims, network policies, autoscalers.

import { isMap } from "../../base/is-map.ts";
import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import type { ForkSpec } from "../../kube/sandbox-resource.ts";
import { labelSelectorSelects } from "../../kube/selectors.ts";
import { labelsAt, mapAt, mapsAt } from "./json.ts";
import type { ForkLabels } from "./labels.ts";
import { claimsOf } from "./unforkable.ts";

export interface SurroundingsInput {
  readonly baseline: JsonMap;
  /** The fork's workload. */
  readonly object: KubernetesObject;
  readonly workload: KubernetesObject;
  readonly forkSpec: ForkSpec;
  readonly others: readonly KubernetesObject[];
  readonly labels: ForkLabels;
}

/** Remarks, in a fixed order. */
export function surroundings({
  baseline,
  object,
  workload,
  forkSpec,
  others,
  labels,
}: SurroundingsInput): readonly string[] {
  const text = `${forkSpec.workload.kind} ${forkSpec.workload.name}`;
  const remarks: string[] = [];
  const jobs = mapAt(mapAt(object.spec, "jobTemplate"), "spec");
  const template = mapAt(object.kind === "CronJob" ? jobs : object.spec, "template");
  for (const claim of claimsOf(mapAt(template, "spec"))) {
    remarks.push(
      `the fork mounts PersistentVolumeClaim ${claim}, which ${text} writes to as well; give it a volume of its own by \`patch\` if that must not be`,
    );
  }
  const before = labelsAt(mapAt(baseline, "metadata"), "labels");
  for (const other of others.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))) {
    const { name } = other.metadata;
    if (other.kind === "NetworkPolicy") {
      if (differs(other.spec?.["podSelector"], before, labels)) {
        remarks.push(
          `NetworkPolicy ${name} selects the pods of ${text}, but not those of its fork, which lacks the labels ${labels.removed.join(", ")}; have it select the label sidelane.dev/sandbox too if it has to hold for forks`,
        );
      }
      if (peersOf(other).some((selector) => differs(selector, before, labels))) {
        remarks.push(
          `NetworkPolicy ${name} lets the pods of ${text} through, but not those of its fork; have it let the label sidelane.dev/sandbox through too`,
        );
      }
    }
    const target = mapAt(other.spec, "scaleTargetRef");
    const isScaled = target["kind"] === workload.kind && target["name"] === workload.metadata.name;
    if (other.kind === "HorizontalPodAutoscaler" && isScaled) {
      remarks.push(
        `HorizontalPodAutoscaler ${name} scales ${text} alone; the fork has ${forkSpec.replicas ?? 1} (\`replicas\`)`,
      );
    }
  }
  return remarks;
}

function differs(selector: unknown, before: Readonly<Record<string, string>>, { labels }: ForkLabels): boolean {
  return labelSelectorSelects(selector, before) && !labelSelectorSelects(selector, labels);
}

/** Selectors of pods of the policy's own namespace that it lets through. */
function peersOf(policy: KubernetesObject): readonly unknown[] {
  const rules = [...mapsAt(policy.spec, "ingress"), ...mapsAt(policy.spec, "egress")];
  const peers = rules.flatMap((rule) => [...mapsAt(rule, "from"), ...mapsAt(rule, "to")]);
  return peers.filter((peer) => !isMap(peer["namespaceSelector"])).map((peer) => peer["podSelector"]);
}
