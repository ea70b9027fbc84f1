// Rules that keep the replicas of one workload apart. A fork has lost the labels by which they know each other, so for it they would
// mean "never beside the baseline", and on a small cluster it would wait for a node for ever. They go; rules about others stay.

import { isMap } from "../../base/is-map.ts";
import type { JsonMap } from "../../kube/object.ts";
import { labelSelectorSelects } from "../../kube/selectors.ts";
import { labelsAt, mapAt, mapsAt, withList } from "./json.ts";

/** The template without rules that are about its own pods; its labels are still the baseline's. */
export function ownSpreadOnly(template: JsonMap): JsonMap {
  const labels = labelsAt(mapAt(template, "metadata"), "labels");
  const isOwn = (term: JsonMap): boolean => labelSelectorSelects(term["labelSelector"], labels);
  const spec = mapAt(template, "spec");
  const constraints = mapsAt(spec, "topologySpreadConstraints").filter((constraint) => !isOwn(constraint));
  const spread = withList(spec, "topologySpreadConstraints", constraints);
  if (!isMap(spec["affinity"])) return { ...template, spec: spread };
  const { podAntiAffinity, ...others } = spec["affinity"];
  const rules = isMap(podAntiAffinity) ? podAntiAffinity : {};
  const required = "requiredDuringSchedulingIgnoredDuringExecution";
  const preferred = "preferredDuringSchedulingIgnoredDuringExecution";
  const kept = withList(
    withList(
      rules,
      required,
      mapsAt(rules, required).filter((term) => !isOwn(term)),
    ),
    preferred,
    mapsAt(rules, preferred).filter((term) => !isOwn(mapAt(term, "podAffinityTerm"))),
  );
  const affinity = Object.keys(kept).length === 0 ? others : { ...others, podAntiAffinity: kept };
  const { affinity: _, ...rest } = spread;
  return { ...template, spec: Object.keys(affinity).length === 0 ? rest : { ...rest, affinity } };
}
