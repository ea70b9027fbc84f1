import type { Activity, AnswerBody, QuestionBody } from "../../feed/messages.ts";

/** What the control plane can ask of a sidecar, and what it is told unasked. The table source only carries it. */
export interface FeedQuestions {
  /** The answer; one that takes longer than `withinMs` is of no use any more. Rejections are answered as errors. */
  answer(question: QuestionBody, withinMs: number): Promise<AnswerBody>;
  /**
   * What has happened since the last call: called about every 10 s, and every 250 ms while the last one was busy. Undefined:
   * nothing to tell.
   */
  activity(): Activity | undefined;
}

/** For a process that carries no requests. */
export const NO_QUESTIONS: FeedQuestions = {
  answer: async () => ({ kind: "error", error: "this process carries no requests" }),
  activity: () => undefined,
};
