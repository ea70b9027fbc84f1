import { jsonAnswer } from "../admin/answer.ts";
import type { Route } from "../admin/route.ts";

/** What the operator says about itself. */
export interface OperatorHealth {
  /** Empty: ready. One sentence each otherwise. */
  readonly notReady: () => readonly string[];
  /** What does not work at the moment, and is tried again: one sentence each. */
  readonly problems: () => readonly string[];
  readonly isLeader: () => boolean;
  /** Prometheus text. */
  readonly metrics: () => Promise<string>;
}

export const healthRoutes: readonly Route<OperatorHealth>[] = [
  {
    method: "GET",
    path: "/live",
    doc: "200 while the process works: liveness probe",
    parameters: [],
    answer: () => jsonAnswer(200, { live: true }),
  },
  {
    method: "GET",
    path: "/ready",
    doc: "200 when this replica leads and knows the cluster, or waits to lead; problems that pass are listed either way",
    parameters: [],
    answer: ({ notReady, problems, isLeader }) => {
      const reasons = notReady();
      const ready = reasons.length === 0;
      return jsonAnswer(ready ? 200 : 503, { ready, leader: isLeader(), reasons, problems: problems() });
    },
  },
  {
    method: "GET",
    path: "/metrics",
    doc: "metrics in the text format of Prometheus",
    parameters: [],
    answer: async ({ metrics }) => ({
      status: 200,
      contentType: "text/plain; version=0.0.4; charset=utf-8",
      body: await metrics(),
    }),
  },
];
