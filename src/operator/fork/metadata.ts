// Metadata of what a fork is made of. Nothing of the baseline's own metadata is copied: its labels and annotations say who keeps it
// (Helm, Argo CD, Flux, kubectl), and a copy with them would be pruned, or taken for the baseline.

import type { JsonMap, KubernetesObject } from "../../kube/object.ts";
import {
  FIELD_MANAGER,
  FORK_LABEL,
  MANAGED_BY_LABEL,
  REMOVED_LABELS_ANNOTATION,
  SANDBOX_ANNOTATION,
  SANDBOX_LABEL,
  SERVICE_ANNOTATION,
  STAMP_ANNOTATION,
  WORKLOAD_ANNOTATION,
  tableName,
} from "../../kube/object-names.ts";
import { routingKeyOf, workloadText } from "../../kube/sandbox-resource.ts";
import type { ForkSpec, SandboxResource } from "../../kube/sandbox-resource.ts";
import { labelsAt, mapAt } from "./json.ts";
import type { ForkLabels } from "./labels.ts";
import type { Answered } from "./services.ts";

/** What the objects of a fork are made from. */
export interface MadeFrom {
  readonly sandbox: SandboxResource;
  readonly namespace: string;
  readonly workload: KubernetesObject;
  readonly forkSpec: ForkSpec;
  /** Of the fork. */
  readonly name: string;
  readonly labels: ForkLabels;
  /** With the change; its labels are not the fork's yet. */
  readonly template: JsonMap;
  readonly answered: Answered;
}

/** Metadata of one object; `service` is the one of the baseline that it is for. */
export function forkMetadata(
  { sandbox, namespace, forkSpec, name, labels }: MadeFrom,
  objectKind: string,
  objectName: string,
  service: string | undefined,
): KubernetesObject["metadata"] {
  const { uid, name: sandboxName } = sandbox.metadata;
  return {
    name: objectName,
    namespace,
    labels: { [MANAGED_BY_LABEL]: FIELD_MANAGER, [SANDBOX_LABEL]: sandboxName, [FORK_LABEL]: name },
    annotations: {
      [SANDBOX_ANNOTATION]: tableName(sandboxName, namespace),
      [WORKLOAD_ANNOTATION]: workloadText(forkSpec.workload),
      ...(service === undefined ? {} : { [SERVICE_ANNOTATION]: tableName(service, namespace) }),
      ...(objectKind === "Service" || labels.removed.length === 0
        ? {}
        : { [REMOVED_LABELS_ANNOTATION]: labels.removed.join(",") }),
    },
    // Only a live Sandbox has a uid; without one the API server refuses a reference.
    ...(uid === undefined
      ? {}
      : {
          ownerReferences: [
            {
              apiVersion: sandbox.apiVersion,
              kind: sandbox.kind,
              name: sandboxName,
              uid,
              controller: true,
              blockOwnerDeletion: true,
            },
          ],
        }),
  };
}

/**
 * The template with labels and annotations of the fork's pods: which sandbox's copy of which service this is, for the sidecar; and
 * the key as stamp where no request brings one in.
 */
export function forkTemplate(made: MadeFrom): JsonMap {
  const { sandbox, namespace, labels, template, answered } = made;
  const metadata = mapAt(template, "metadata");
  return {
    metadata: {
      labels: labels.labels,
      annotations: {
        ...labelsAt(metadata, "annotations"),
        [SANDBOX_ANNOTATION]: tableName(sandbox.metadata.name, namespace),
        [SERVICE_ANNOTATION]: tableName(answered.sidecarService, namespace),
        ...(answered.services.length === 0 ? { [STAMP_ANNOTATION]: routingKeyOf(sandbox) } : {}),
      },
    },
    spec: mapAt(template, "spec"),
  };
}
