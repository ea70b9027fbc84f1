// The sandbox's change, made to the baseline's template: first the patch, which may do anything, then the containers by name.

import { mergePatch } from "../../control/resources/merge-patch.ts";
import type { JsonMap } from "../../kube/object.ts";
import type { ContainerChange, ForkSpec } from "../../kube/sandbox-resource.ts";
import { nearest } from "../../routing/nearest.ts";
import { clean, mapAt, mapsAt, textAt, withList } from "./json.ts";

export interface Changed {
  readonly template: JsonMap;
  readonly problems: readonly string[];
  readonly remarks: readonly string[];
}

/** The template with the change of a fork. */
export function changed(baseline: JsonMap, { workload, containers = [], patch }: ForkSpec): Changed {
  const problems: string[] = [];
  const remarks: string[] = [];
  const template = clean(mergePatch(baseline, patch ?? {}) as JsonMap);
  const spec = mapAt(template, "spec");
  if (mapsAt(spec, "containers").length === 0) {
    problems.push(
      `${workload.kind} ${workload.name} has no containers left after the patch; leave spec.containers out of \`patch\`, and write changes of containers to \`containers\``,
    );
  }
  const lists = ["containers", "initContainers"] as const;
  const names = lists.flatMap((list) => mapsAt(spec, list).map((container) => textAt(container, "name")));
  for (const { name } of containers) {
    if (names.includes(name)) continue;
    const guess = nearest(name, names);
    problems.push(
      `${workload.kind} ${workload.name} has no container ${name}; it has ${names.join(", ") || "none"}${guess === undefined ? "" : `: did you mean ${guess}?`}`,
    );
  }
  let made = spec;
  for (const list of lists) {
    const mended = mapsAt(spec, list).map((container) => {
      const change = containers.find(({ name }) => name === textAt(container, "name"));
      return change === undefined ? container : withChange(container, change, remarks);
    });
    made = withList(made, list, mended);
  }
  return { template: { ...template, spec: made }, problems, remarks };
}

function withChange(container: JsonMap, change: ContainerChange, remarks: string[]): JsonMap {
  const { image, env = [], removeEnv = [], command, args, resources } = change;
  const before = mapsAt(container, "env");
  const there = new Set(before.map((variable) => textAt(variable, "name")));
  for (const name of removeEnv) {
    if (there.has(name)) continue;
    const isElsewhere = mapsAt(container, "envFrom").length > 0;
    remarks.push(
      `container ${change.name} has no environment variable ${name} to remove${isElsewhere ? "; one that comes by envFrom can be set to another value, not removed" : ""}`,
    );
  }
  const written = new Map(env.map((variable) => [variable.name, variable]));
  const kept = before
    .filter((variable) => !removeEnv.includes(textAt(variable, "name")))
    .map((variable) => (written.get(textAt(variable, "name")) as JsonMap | undefined) ?? variable);
  const added = [...written.values()].filter(({ name }) => !there.has(name));
  return {
    ...withList(container, "env", [...kept, ...added]),
    ...(image === undefined ? {} : { image }),
    ...(command === undefined ? {} : { command }),
    ...(args === undefined ? {} : { args }),
    ...(resources === undefined ? {} : { resources }),
  };
}
