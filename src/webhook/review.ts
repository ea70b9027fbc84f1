// AdmissionReview (admission.k8s.io/v1): what the API server asks, and how it is answered.

import type { Operation } from "./pod/json-patch.ts";
import type { Pod } from "./pod/pod.ts";
import type { PodOutcome } from "./pod/review-pod.ts";

/** One question of the API server. */
export interface AdmissionRequest {
  readonly uid: string;
  readonly namespace: string;
  /** Absent: something else than a pod that is about to be created. */
  readonly pod?: Pod;
}

/** Reads the body of a request; a sentence when it is no review. */
export function readReview(body: string): AdmissionRequest | string {
  let review: unknown;
  try {
    review = JSON.parse(body);
  } catch {
    return "the body is not JSON; an AdmissionReview is";
  }
  const { apiVersion, kind, request } = fields(review);
  if (kind !== "AdmissionReview" || apiVersion !== "admission.k8s.io/v1") {
    return "the body is no AdmissionReview of admission.k8s.io/v1; the webhook's admissionReviewVersions is [v1]";
  }
  const asked = fields(request);
  const { uid, namespace, operation, subResource, object } = asked;
  if (typeof uid !== "string" || uid === "") return "the review has no request.uid";
  if (typeof namespace === "string" && namespace !== "" && !NAMESPACE_NAME.test(namespace)) {
    return "request.namespace is no name of a namespace";
  }
  const what = fields(asked["kind"]);
  const isPod = what["group"] === "" && what["version"] === "v1" && what["kind"] === "Pod";
  const creates = operation === "CREATE" && (subResource === undefined || subResource === "");
  const about = typeof namespace === "string" ? namespace : "";
  if (!isPod || !creates || about === "" || Object.keys(fields(object)).length === 0) return { uid, namespace: about };
  return { uid, namespace: about, pod: object as Pod };
}

/** The answer, as the API server takes it. */
export function reviewAnswer(uid: string, outcome: PodOutcome | undefined): string {
  return JSON.stringify({
    apiVersion: "admission.k8s.io/v1",
    kind: "AdmissionReview",
    response: { uid, ...verdict(outcome) },
  });
}

/** RFC 1123 label; it becomes part of a path. */
const NAMESPACE_NAME = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/u;

/** The API server cuts what is much longer, and all of them when there are many. */
const WARNING_LENGTH_MAX = 400;
const WARNINGS_MAX = 10;

function verdict(outcome: PodOutcome | undefined): object {
  if (outcome === undefined) return { allowed: true };
  if (outcome.kind === "denied") {
    const status = { code: 400, reason: "BadRequest", message: `Sidelane cannot inject this pod: ${outcome.message}` };
    return { allowed: false, status, auditAnnotations: { outcome: "denied" } };
  }
  const told = outcome.warnings.slice(0, WARNINGS_MAX);
  const left = outcome.warnings.length - told.length;
  const warnings = [...told, ...(left === 0 ? [] : [`${left} more warnings are left out`])].map((text) =>
    `sidelane: ${text}`.slice(0, WARNING_LENGTH_MAX),
  );
  return {
    allowed: true,
    ...(outcome.patch.length === 0 ? {} : { patchType: "JSONPatch", patch: encoded(outcome.patch) }),
    ...(warnings.length === 0 ? {} : { warnings }),
    auditAnnotations:
      outcome.kind === "injected" ? { outcome: "injected" } : { outcome: "skipped", reason: outcome.reason },
  };
}

function encoded(patch: readonly Operation[]): string {
  return Buffer.from(JSON.stringify(patch)).toString("base64");
}

function fields(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}
