import { describe, expect, test } from "vitest";
import { PendingQuestions } from "./questions.ts";
import type { AskMessage } from "./worker-messages.ts";

const report = { entriesMax: 1, kept: 0, oldest: null, entries: [] };

function pending(timeoutMs: number): { readonly questions: PendingQuestions; readonly sent: AskMessage[] } {
  const sent: AskMessage[] = [];
  return { questions: new PendingQuestions((message) => void sent.push(message), timeoutMs), sent };
}

describe("questions to a worker", () => {
  test("are told apart by their ids, whatever the order of the answers", async () => {
    const { questions, sent } = pending(60_000);
    const snapshot = questions.ask("snapshot", null);
    const journal = questions.ask("journal", { limit: 3 });
    expect(sent).toEqual([
      { kind: "ask", id: 1, question: "snapshot", about: null },
      { kind: "ask", id: 2, question: "journal", about: { limit: 3 } },
    ]);
    questions.answered(2, report);
    questions.answered(1, []);
    questions.answered(1, ["again"]);
    questions.answered(77, "never asked");
    expect(await journal).toBe(report);
    expect(await snapshot).toEqual([]);
  });

  test("have no answer when none comes in time", async () => {
    const { questions } = pending(1);
    expect(await questions.ask("snapshot", null)).toBeUndefined();
    questions.answered(1, []);
  });

  test("have no answer when the worker is gone", async () => {
    const { questions } = pending(60_000);
    const both = [questions.ask("snapshot", null), questions.ask("journal", { limit: 1 })];
    questions.giveUp();
    expect(await Promise.all(both)).toEqual([undefined, undefined]);
  });
});
