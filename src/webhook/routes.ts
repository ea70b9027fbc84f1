// The endpoints of the webhook: reviews by HTTPS, health and metrics by HTTP as well, so that neither the kubelet nor Prometheus
// has to know its authority.

import { jsonAnswer, problemAnswer } from "../admin/answer.ts";
import type { Answer } from "../admin/answer.ts";
import type { Route } from "../admin/route.ts";
import type { PodOutcome } from "./pod/review-pod.ts";
import type { AdmissionRequest } from "./review.ts";
import { readReview, reviewAnswer } from "./review.ts";

/** What the endpoints ask. */
export interface WebhookBackend {
  /** Why it is not ready, sentences. */
  readonly notReady: () => readonly string[];
  /** Undefined: the review is about something else. Rejects when it cannot be said. */
  readonly review: (request: AdmissionRequest) => Promise<PodOutcome | undefined>;
  readonly metrics: () => Promise<string>;
  readonly metricsType: string;
}

/** `GET /live`, `/ready`, `/metrics` */
export const healthRoutes: readonly Route<WebhookBackend>[] = [
  {
    method: "GET",
    path: "/live",
    doc: "200 while the process runs",
    parameters: [],
    answer: () => jsonAnswer(200, { live: true }),
  },
  {
    method: "GET",
    path: "/ready",
    doc: "200 when reviews are answered, else 503 and why not",
    parameters: [],
    answer: ({ notReady }) => {
      const why = notReady();
      return why.length === 0 ? jsonAnswer(200, { ready: true }) : problemAnswer(503, why.join("; "), { ready: false });
    },
  },
  {
    method: "GET",
    path: "/metrics",
    doc: "Prometheus text",
    parameters: [],
    answer: async ({ metrics, metricsType }) => ({ status: 200, contentType: metricsType, body: await metrics() }),
  },
];

/** All endpoints. */
export const reviewRoutes: readonly Route<WebhookBackend>[] = [
  {
    method: "POST",
    path: "/inject",
    doc: "AdmissionReview of admission.k8s.io/v1 in, the same with a response out",
    // What the API server says besides the question; its deadline is far above what an answer takes.
    parameters: [{ name: "timeout", doc: "as 5s; ignored" }],
    answer: async (backend, _, body) => answerReview(backend, body.toString("utf8")),
  },
  ...healthRoutes,
];

/** An answer without success lets the API server go by its failurePolicy. */
async function answerReview({ notReady, review }: WebhookBackend, body: string): Promise<Answer> {
  const request = readReview(body);
  if (typeof request === "string") return problemAnswer(400, request);
  const why = notReady();
  // One that is ending is not ready for new connections, and does answer.
  if (why.length > 0 && why[0] !== ENDING) return problemAnswer(503, why.join("; "));
  const outcome = await review(request);
  return { status: 200, contentType: "application/json", body: reviewAnswer(request.uid, outcome) };
}

/** Why a replica that was told to end is not ready. */
export const ENDING = "this replica is ending";
