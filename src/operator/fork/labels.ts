// Which labels the pods of a fork have. The rule that everything hangs on: no Service of the namespace may select them, or requests
// without a key would reach the fork past every sidecar. So a label goes as soon as any Service selects by its name, whatever the
// value: then a Service that changes the value it wants does not catch the fork before the operator has seen it.

import type { JsonMap, KubernetesObject, Labels } from "../../kube/object.ts";
import { FORK_LABEL, SANDBOX_LABEL } from "../../kube/object-names.ts";
import type { SandboxResource } from "../../kube/sandbox-resource.ts";
import { isForkService, labelSelectorSelects, wantedKeys } from "../../kube/selectors.ts";
import { labelsAt, mapAt } from "./json.ts";

export interface ForkLabels {
  /** Of the pods. */
  readonly labels: Labels;
  /** By which the fork's workload and Services select them; for ever the same, because a workload's selector cannot change. */
  readonly selector: Labels;
  /** Names of labels of the baseline that the fork must not have, in order. */
  readonly removed: readonly string[];
  readonly remarks: readonly string[];
}

export interface LabelsInput {
  readonly sandbox: SandboxResource;
  /** Of the fork. */
  readonly name: string;
  readonly workload: KubernetesObject;
  /** With the change: a patch may bring labels of its own. */
  readonly template: JsonMap;
  readonly services: readonly KubernetesObject[];
  readonly others: readonly KubernetesObject[];
}

/** Kinds whose `spec.selector` takes pods as their own, or counts them. */
const SELECTING_KINDS = new Set(["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "PodDisruptionBudget"]);

/** The labels of a fork's pods. */
export function forkLabels({ sandbox, name, workload, template, services, others }: LabelsInput): ForkLabels {
  const selector = { [SANDBOX_LABEL]: sandbox.metadata.name, [FORK_LABEL]: name };
  const written = labelsAt(mapAt(template, "metadata"), "labels");
  const keys = new Set(wantedKeys(workload.spec?.["selector"]));
  for (const service of services) {
    if (isForkService(service)) continue;
    for (const key of Object.keys(mapAt(service.spec, "selector"))) keys.add(key);
  }
  const removed = new Set(Object.keys(written).filter((key) => keys.has(key)));
  const left = (): Labels => ({ ...without(written, removed), ...selector });
  for (const other of others) {
    if (!SELECTING_KINDS.has(other.kind) || Object.hasOwn(other.metadata.labels ?? {}, FORK_LABEL)) continue;
    const wanted = other.spec?.["selector"];
    if (!labelSelectorSelects(wanted, left())) continue;
    for (const key of wantedKeys(wanted)) if (Object.hasOwn(written, key)) removed.add(key);
  }
  const patched = Object.keys(mapAt(mapAt(patchOf(sandbox, workload), "metadata"), "labels"));
  const remarks = patched
    .filter((key) => removed.has(key))
    .map((key) => `label ${key} of the patch is left out: something in the namespace selects pods by it`);
  return { labels: left(), selector, removed: [...removed].toSorted(), remarks };
}

function patchOf(sandbox: SandboxResource, { kind, metadata }: KubernetesObject): JsonMap {
  const fork = (sandbox.spec.forks ?? []).find(
    ({ workload }) => workload.kind === kind && workload.name === metadata.name,
  );
  return fork?.patch ?? {};
}

function without(labels: Labels, removed: ReadonlySet<string>): Labels {
  return Object.fromEntries(Object.entries(labels).filter(([key]) => !removed.has(key)));
}
