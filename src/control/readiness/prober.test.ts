import { describe, expect, test } from "vitest";
import type { AnswerBody } from "../../feed/messages.ts";
import { probed, sidecarInfo } from "./fixture.ts";
import { Prober, type Subject } from "./prober.ts";

const subject: Subject = {
  sandbox: "pr-7",
  version: 2,
  endpoints: ["10.0.0.7:8080"],
  probe: { service: "checkout", port: "", key: "pr-7", protocol: "auto", path: "/" },
};
const candidates = [sidecarInfo()];

/** One whose clock the test moves and whose sidecars answer when it says so. */
function startProber() {
  let nowMs = 0;
  const asked: string[] = [];
  let answer: AnswerBody = probed();
  const prober = new Prober(
    async ({ instance }) => {
      asked.push(instance);
      return answer;
    },
    1000,
    () => nowMs,
  );
  const look = async (patient: boolean, who = candidates) => {
    const before = prober.look(subject, who, patient);
    // The answer, and what waits for it.
    await new Promise((resolve) => setImmediate(resolve));
    return before?.result?.answered;
  };
  return {
    asked,
    look,
    passes: (ms: number) => void (nowMs += ms),
    answers: (next: AnswerBody) => void (answer = next),
  };
}

describe("what is known", () => {
  test("is nothing at first, then serves for ten seconds", async () => {
    const { asked, look, passes } = startProber();
    expect(await look(false)).toBeUndefined();
    expect(await look(false)).toBe(true);
    passes(9999);
    expect(await look(true)).toBe(true);
    expect(asked).toHaveLength(1);
  });

  test("when it is old, is shown to who looks and not to who waits; both have it asked again", async () => {
    const { asked, look, passes } = startProber();
    await look(false);
    passes(10_000);
    expect(await look(false)).toBe(true);
    expect(asked).toHaveLength(2);
    passes(10_000);
    expect(await look(true)).toBeUndefined();
    expect(await look(true)).toBe(true);
    expect(asked).toHaveLength(3);
  });

  test("is nothing again when it is old and nobody is left to be asked", async () => {
    const { look, passes } = startProber();
    await look(false);
    expect(await look(false, [])).toBe(true);
    passes(10_000);
    expect(await look(false, [])).toBeUndefined();
  });

  test("while somebody waits for an endpoint that does not answer, it is asked less and less often", async () => {
    const { asked, look, passes, answers } = startProber();
    answers(probed({ answered: false }));
    const atMs: number[] = [];
    for (let nowMs = 0; nowMs <= 20_000; nowMs += 100) {
      const before = asked.length;
      await look(true);
      if (asked.length > before) atMs.push(nowMs);
      passes(100);
    }
    expect(atMs).toEqual([0, 500, 1500, 3500, 7500, 12_500, 17_500]);
  });

  test("who only looks does not have a failure asked again sooner", async () => {
    const { asked, look, passes, answers } = startProber();
    answers(probed({ answered: false }));
    await look(false);
    passes(9000);
    expect(await look(false)).toBe(false);
    expect(asked).toHaveLength(1);
  });

  test("is forgotten when nobody has looked for a minute", async () => {
    const { look, passes } = startProber();
    await look(false);
    passes(60_001);
    expect(await look(false)).toBeUndefined();
  });
});
