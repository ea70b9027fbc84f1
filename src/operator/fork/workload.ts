// The workload of a fork. Of the workload's own fields those are copied that shape how its pods come and go; the template is copied
// whole (template.ts).

import { isMap } from "../../base/is-map.ts";
import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import { shortHash } from "../../kube/object-names.ts";
import { clean, labelsAt, mapAt, mapsAt, only, textAt, withList } from "./json.ts";
import { forkMetadata, forkTemplate } from "./metadata.ts";
import type { MadeFrom } from "./metadata.ts";
import { ownSpreadOnly } from "./spread.ts";

export interface WorkloadInput extends MadeFrom {
  /** Names of the fork's headless Services. */
  readonly forkServices: readonly string[];
}

const DEPLOYMENT_FIELDS = ["strategy", "minReadySeconds", "progressDeadlineSeconds"];
const STATEFUL_SET_FIELDS = ["podManagementPolicy", "minReadySeconds", "ordinals"];
const JOB_FIELDS = [
  ...["parallelism", "completions", "completionMode", "activeDeadlineSeconds", "backoffLimit", "backoffLimitPerIndex"],
  ...["maxFailedIndexes", "podFailurePolicy", "podReplacementPolicy", "successPolicy"],
];
/** A Job that is gone would be made again by the operator, and run again. The jobs of a CronJob may go. */
const CRON_JOBS_JOB_FIELDS = [...JOB_FIELDS, "ttlSecondsAfterFinished", "suspend"];
const CRON_JOB_FIELDS = [
  ...["schedule", "timeZone", "startingDeadlineSeconds", "concurrencyPolicy"],
  ...["successfulJobsHistoryLimit", "failedJobsHistoryLimit"],
];

/** The workload of a fork. */
export function forkWorkload(input: WorkloadInput): KubernetesObject {
  const { workload, template } = input;
  const made = { ...input, template: ownSpreadOnly(template) };
  switch (workload.kind) {
    case "StatefulSet":
      return statefulSet(made);
    case "Job":
      return job(made, only(workload.spec ?? {}, JOB_FIELDS));
    case "CronJob":
      return cronJob(made);
    case "Pod":
      return ofPod(made);
    default:
      return deployment(made, only(workload.spec ?? {}, DEPLOYMENT_FIELDS));
  }
}

function deployment(input: WorkloadInput, copied: JsonMap): KubernetesObject {
  const { name, forkSpec, labels } = input;
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: metadataOf(input, name),
    spec: {
      ...copied,
      replicas: forkSpec.replicas ?? 1,
      // Nobody rolls a fork back: it follows the baseline.
      revisionHistoryLimit: 1,
      selector: { matchLabels: labels.selector },
      template: forkTemplate(input),
    },
  };
}

/**
 * A StatefulSet's fork has claims of its own, empty, and deleted with it. Not the baseline's: two programs on one volume. Not
 * emptyDir: a program that keeps state expects it to survive a restart of its pod. Who wants emptyDir all the same writes a volume
 * of that name into the patch, which takes the place of the claim.
 */
function statefulSet(input: WorkloadInput): KubernetesObject {
  const { name, workload, forkSpec, labels, forkServices } = input;
  const volumes = new Set(mapsAt(mapAt(input.template, "spec"), "volumes").map((volume) => textAt(volume, "name")));
  const claims = mapsAt(workload.spec, "volumeClaimTemplates")
    .filter((claim) => !volumes.has(textAt(mapAt(claim, "metadata"), "name")))
    .map((claim) => ({
      apiVersion: "v1",
      kind: "PersistentVolumeClaim",
      metadata: { name: textAt(mapAt(claim, "metadata"), "name"), labels: labels.selector },
      // A volume or a source by name would be the baseline's.
      spec: withoutFields(mapAt(claim, "spec"), ["volumeName", "dataSource", "dataSourceRef"]),
    }));
  return {
    apiVersion: "apps/v1",
    kind: "StatefulSet",
    metadata: metadataOf(input, name),
    spec: {
      ...withList(only(workload.spec ?? {}, STATEFUL_SET_FIELDS), "volumeClaimTemplates", claims),
      ...(claims.length === 0
        ? {}
        : { persistentVolumeClaimRetentionPolicy: { whenDeleted: "Delete", whenScaled: "Delete" } }),
      replicas: forkSpec.replicas ?? 1,
      revisionHistoryLimit: 1,
      selector: { matchLabels: labels.selector },
      serviceName: forkServices[0] ?? name,
      // OnDelete or a partition would leave it behind the baseline.
      updateStrategy: { type: "RollingUpdate" },
      template: forkTemplate(input),
    },
  };
}

/** A plain Pod cannot be changed in place, so a Deployment follows it; one that comes to an end becomes a Job. */
function ofPod(input: WorkloadInput): KubernetesObject {
  const restartPolicy = mapAt(input.template, "spec")["restartPolicy"];
  if (restartPolicy === "Never") return job(input, { backoffLimit: 0 });
  if (restartPolicy === "OnFailure") return job(input, {});
  const { activeDeadlineSeconds: _, ...spec } = mapAt(input.template, "spec");
  return deployment({ ...input, template: { ...input.template, spec } }, {});
}

/** A Job cannot be changed: each content is a Job of its own, by a hash in its name, and the one before is not wanted any more. */
function job(input: WorkloadInput, copied: JsonMap): KubernetesObject {
  const spec = clean({ ...copied, template: forkTemplate(input) });
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: metadataOf(input, `${input.name}-${shortHash(JSON.stringify(spec))}`),
    spec,
  };
}

/** Its jobs are started by hand (`kubectl create job --from=cronjob/...`), unless the schedule is to be kept. */
function cronJob(input: WorkloadInput): KubernetesObject {
  const { name, workload, forkSpec, labels } = input;
  const jobTemplate = mapAt(workload.spec, "jobTemplate");
  return {
    apiVersion: "batch/v1",
    kind: "CronJob",
    metadata: metadataOf(input, name),
    spec: {
      ...only(workload.spec ?? {}, CRON_JOB_FIELDS),
      suspend: forkSpec.schedule !== "keep",
      jobTemplate: {
        metadata: { labels: labels.selector, annotations: jobAnnotations(jobTemplate) },
        spec: { ...only(mapAt(jobTemplate, "spec"), CRON_JOBS_JOB_FIELDS), template: forkTemplate(input) },
      },
    },
  };
}

function jobAnnotations(jobTemplate: JsonMap): JsonMap | undefined {
  const annotations = labelsAt(mapAt(jobTemplate, "metadata"), "annotations");
  return Object.keys(annotations).length === 0 ? undefined : annotations;
}

function metadataOf(input: WorkloadInput, name: string): KubernetesObject["metadata"] {
  return forkMetadata(input, input.workload.kind, name, input.answered.services[0]?.metadata.name);
}

function withoutFields(value: JsonMap, fields: readonly string[]): JsonMap {
  return isMap(value) ? Object.fromEntries(Object.entries(value).filter(([name]) => !fields.includes(name))) : {};
}
