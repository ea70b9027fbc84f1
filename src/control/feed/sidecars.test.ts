import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import type { Activity, AnswerBody, QuestionBody } from "../../feed/messages.ts";
import { sandboxResource, serviceResource } from "../fixture.ts";
import { TestControl, type TestSidecar, aHello } from "./fixture.ts";
import { type SidecarInfo, Sidecars } from "./sidecars.ts";

let control: TestControl;
beforeEach(async () => {
  control = await TestControl.start({ goneAfterMs: 50 });
  control.commit([serviceResource("checkout"), serviceResource("ledger")]);
});
afterEach(() => control.close());

const narrow = { services: ["checkout"], names: false };
const question: QuestionBody = { kind: "journal", journal: { trace: "t", key: "", limit: 5 } };

function infoOf({ instance }: TestSidecar): SidecarInfo {
  const info = control.sidecars.find(instance);
  if (info === undefined) throw new Error("not in the list");
  return info;
}

function isCurrent(sidecar: TestSidecar, revision: number): boolean {
  return control.sidecars.isCurrent(infoOf(sidecar), revision);
}

async function joined(sidecar: TestSidecar): Promise<TestSidecar> {
  await sidecar.untilRevision(control.state.revision);
  return sidecar;
}

/** Resolves with what somebody who listens for changes sees, as soon as it holds. */
function seen(condition: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!condition()) return;
      stop();
      resolve();
    };
    const stop = control.sidecars.onChange(look);
    look();
  });
}

function applied(sidecar: TestSidecar, revision: number, error = "", problems: readonly string[] = []): void {
  sidecar.send({ kind: "applied", applied: { revision, error, problems } });
}

describe("whether a sidecar is current", () => {
  test("is told by what it acknowledges", async () => {
    const sidecar = await joined(control.follow({}, { acks: false }));
    expect(infoOf(sidecar)).toMatchObject({ connected: true, appliedRevision: 0, wantedRevision: 2, replica: "r1" });
    expect(isCurrent(sidecar, 2)).toBe(false);
    applied(sidecar, 2);
    await seen(() => isCurrent(sidecar, 2));
    const revision = control.commit([sandboxResource("pr-7", { services: { checkout: ["a:80"] } })]);
    expect(isCurrent(sidecar, revision)).toBe(false);
    expect(isCurrent(sidecar, 2)).toBe(true);
    applied(sidecar, revision);
    await seen(() => isCurrent(sidecar, revision));
  });

  test("does not depend on changes that its scope does not see", async () => {
    const sidecar = await joined(control.follow({ scope: narrow }));
    await seen(() => isCurrent(sidecar, 2));
    const revision = control.commit([sandboxResource("pr-7", { services: { ledger: ["a:80"] } })]);
    expect(infoOf(sidecar)).toMatchObject({ appliedRevision: 2, wantedRevision: 2 });
    expect(isCurrent(sidecar, revision)).toBe(true);
  });

  test("is known at once for one that comes again with what it had", async () => {
    const revision = control.commit([sandboxResource("pr-7", { services: { checkout: ["a:80"] } })]);
    const again = control.follow({ source: "test", revision });
    await again.until(() => again.updates.length === 1);
    expect(isCurrent(again, revision)).toBe(true);
    const behind = control.follow({ source: "test", revision: 2 }, { acks: false });
    await behind.untilRevision(revision);
    expect(infoOf(behind)).toMatchObject({ appliedRevision: 2, wantedRevision: revision });
    expect(isCurrent(behind, revision)).toBe(false);
  });

  test("that has refused a table is told with the reason, until it has another one", async () => {
    const sidecar = await joined(control.follow({}, { acks: false }));
    applied(sidecar, 2);
    await seen(() => isCurrent(sidecar, 2));
    const revision = control.commit([sandboxResource("pr-7", { services: { checkout: ["a:80"] } })]);
    applied(sidecar, revision, "2 problems", ["one", "two"]);
    await seen(() => infoOf(sidecar).error !== "");
    expect(infoOf(sidecar)).toMatchObject({ error: "2 problems", problems: ["one", "two"], appliedRevision: 2 });
    expect(isCurrent(sidecar, revision)).toBe(false);
    expect(control.server.stats.refusedTables).toBe(1);
    applied(sidecar, revision + 1);
    await seen(() => infoOf(sidecar).error === "");
    expect(infoOf(sidecar).problems).toEqual([]);
  });
});

describe("a sidecar that goes", () => {
  test("with a goodbye is forgotten at once", async () => {
    const sidecar = await joined(control.follow());
    sidecar.send({ kind: "goodbye" });
    await seen(() => control.sidecars.list().length === 0);
    expect(await sidecar.untilEnded()).toMatchObject({ code: 0 });
    expect(control.server.stats.ends.goodbye).toBe(1);
  });

  test("without one is behind for a while", async () => {
    const sidecar = await joined(control.follow());
    await seen(() => isCurrent(sidecar, 2));
    sidecar.send({ kind: "activity", activity: { used: [], busy: [{ sandbox: "pr-7", exchanges: 1 }] } });
    await seen(() => infoOf(sidecar).busy.length === 1);
    sidecar.close();
    await seen(() => !infoOf(sidecar).connected);
    expect(isCurrent(sidecar, 2)).toBe(false);
    expect(infoOf(sidecar)).toMatchObject({ busy: [{ sandbox: "pr-7", exchanges: 1 }], appliedRevision: 2 });
    await seen(() => control.sidecars.list().length === 0);
  });

  test("and comes back meanwhile is there as before", async () => {
    const sidecar = await joined(control.follow({ instance: "same" }));
    sidecar.close();
    await seen(() => control.sidecars.find("same")?.connected === false);
    const again = control.follow({ instance: "same", source: "test", revision: 2 });
    await again.until(() => again.updates.length === 1);
    // Another one goes later, and is forgotten: by then this one would have been, too.
    const other = await joined(control.follow({ instance: "other" }));
    other.close();
    await seen(() => control.sidecars.find("other") === undefined);
    expect(control.sidecars.list()).toMatchObject([{ instance: "same", connected: true, appliedRevision: 2 }]);
  });

  test("and opens a second stream loses the first", async () => {
    const first = await joined(control.follow({ instance: "same" }));
    const second = await joined(control.follow({ instance: "same" }));
    expect(await first.untilEnded()).toEqual({ code: 10, details: "the same process has opened another stream" });
    expect(second.ended).toBeUndefined();
    expect(control.sidecars.list()).toMatchObject([{ instance: "same", connected: true }]);
  });
});

describe("a question", () => {
  test("is answered by the sidecar that is asked", async () => {
    const sidecar = await joined(control.follow());
    const probe = { service: "checkout", port: "", key: "pr-7", protocol: "auto", path: "/" };
    const asked = [
      control.sidecars.ask(sidecar.instance, question, 5000),
      control.sidecars.ask(sidecar.instance, { kind: "probe", probe }, 5000),
    ];
    const questions = () => sidecar.messages.flatMap((message) => (message.kind === "question" ? [message] : []));
    await sidecar.until(() => questions().length === 2);
    const [first, second] = questions();
    expect(first).toMatchObject({ question });
    expect(first?.withinMs).toBeGreaterThan(4000);
    const result = { answered: true, destination: "pr-7", endpoint: "a:80", status: 200, detail: "fine" };
    const answers: readonly AnswerBody[] = [
      { kind: "journal", journal: "[]" },
      { kind: "probe", probe: result },
    ];
    // In the other order, twice, and one that nobody asked.
    for (const [at, one] of [second, first, first].entries()) {
      sidecar.send({ kind: "answer", id: one?.id ?? 0, answer: answers[at === 0 ? 1 : 0] as AnswerBody });
    }
    sidecar.send({ kind: "answer", id: 99, answer: { kind: "error", error: "" } });
    expect(await Promise.all(asked)).toEqual(answers);
  });

  test("without an answer ends with an error that says why", async () => {
    const { sidecars } = control;
    expect(await sidecars.ask("nobody", question, 1000)).toEqual({
      kind: "error",
      error: "the sidecar is not connected to this replica",
    });
    const sidecar = await joined(control.follow());
    expect(await sidecars.ask(sidecar.instance, question, 20)).toEqual({
      kind: "error",
      error: "the sidecar did not answer within 20 ms",
    });
    const asked = sidecars.ask(sidecar.instance, question, 60_000);
    sidecar.close();
    expect(await asked).toEqual({ kind: "error", error: "the sidecar's connection broke" });
    expect(await sidecars.ask(sidecar.instance, question, 1000)).toMatchObject({ kind: "error" });
  });

  test("is one too many when a sidecar answers none", async () => {
    const sidecar = await joined(control.follow());
    const asked = Array.from({ length: 101 }, () => control.sidecars.ask(sidecar.instance, question, 60_000));
    expect(await asked[100]).toMatchObject({ error: expect.stringContaining("100 questions") as string });
    sidecar.close();
    await Promise.all(asked);
  });
});

test("what goes on is told to those who listen, until they stop", async () => {
  const sidecar = await joined(control.follow());
  const heard: [string, Activity][] = [];
  const stop = control.sidecars.onActivity(({ instance }, activity) => heard.push([instance, activity]));
  const activity = { used: ["pr-7"], busy: [{ sandbox: "pr-8", exchanges: 3 }] };
  sidecar.send({ kind: "activity", activity });
  await seen(() => infoOf(sidecar).busy.length === 1);
  expect(heard).toEqual([[sidecar.instance, activity]]);
  stop();
  sidecar.send({ kind: "activity", activity: { used: [], busy: [] } });
  await seen(() => infoOf(sidecar).busy.length === 0);
  expect(heard).toHaveLength(1);
});

describe("what a sidecar tells", () => {
  test("of exchanges holds over a break, until the next stream tells anew", async () => {
    const sidecar = await joined(control.follow({ instance: "same" }));
    const busy = [{ sandbox: "pr-7", exchanges: 3 }];
    sidecar.send({ kind: "activity", activity: { used: [], busy } });
    await seen(() => control.sidecars.find("same")?.busy.length === 1);
    sidecar.close();
    await seen(() => control.sidecars.find("same")?.connected === false);
    expect(control.sidecars.find("same")?.busy).toEqual(busy);
    const again = await joined(control.follow({ instance: "same" }));
    expect(control.sidecars.find("same")).toMatchObject({ connected: true, busy });
    again.send({ kind: "activity", activity: { used: [], busy: [] } });
    await seen(() => control.sidecars.find("same")?.busy.length === 0);
  });

  test("is kept up to a bound, and what is beyond it is still said to run", async () => {
    const sidecar = await joined(control.follow({}, { acks: false }));
    const busy = Array.from({ length: 1500 }, (_, n) => ({
      sandbox: n === 0 ? "x".repeat(300) : `pr-${n}`,
      exchanges: 2,
    }));
    sidecar.send({ kind: "activity", activity: { used: [], busy: [...busy, { sandbox: "idle", exchanges: 0 }] } });
    await seen(() => infoOf(sidecar).busy.length > 0);
    expect(infoOf(sidecar).busy).toHaveLength(1001);
    expect(infoOf(sidecar).busy.at(-1)).toEqual({ sandbox: "", exchanges: 1000 });
    applied(
      sidecar,
      2,
      "e".repeat(5000),
      Array.from({ length: 50 }, () => "p".repeat(5000)),
    );
    await seen(() => infoOf(sidecar).error !== "");
    const { error, problems } = infoOf(sidecar);
    expect([error.length, problems.length, problems[0]?.length]).toEqual([1001, 20, 1001]);
  });

  test("is kept of so many that broke off, the last ones", () => {
    const stream = { wantedRevision: 0, ask: () => {}, replaced: () => {} };
    const sidecars = new Sidecars("r1");
    onTestFinished(() => sidecars.close());
    const services = Array.from({ length: 1000 }, (_, n) => `${n}`.padStart(250, "s"));
    for (let n = 0; n < 200; n++) {
      const hello = { ...aHello, instance: `i-${n}`, scope: { services, names: false } };
      sidecars.join(hello, 0, stream).left(false);
    }
    const kept = sidecars.list().map(({ instance }) => instance);
    expect(kept.length).toBeLessThan(150);
    expect(kept.length).toBeGreaterThan(50);
    expect(kept.at(-1)).toBe("i-199");
  });
});
