import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { startProbed } from "../../test/support/probed-proxy.ts";
import type { JournalFilter } from "../telemetry/journal-entry.ts";
import { answerQuestions } from "./answer-questions.ts";

async function startAsked(answer: (end: () => void) => void = (end) => end()) {
  const server = createServer((_request, response) => answer(() => response.end()));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const app = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const sidecar = await startProbed(
    { listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: "127.0.0.1:1" }] },
    { services: { checkout: {} }, sandboxes: { "pr-7": { services: { checkout: [app] } } } },
  );
  const filters: JournalFilter[] = [];
  const questions = answerQuestions({
    config: sidecar.config,
    cell: sidecar.cell,
    addresses: sidecar.proxy.addresses,
    uses: sidecar.uses,
    journal(filter) {
      filters.push(filter);
      if (filter.trace === "bad") throw new Error("no journal today");
      return { entriesMax: 10, kept: 0, oldest: null, entries: [] };
    },
  });
  return { questions, filters, app };
}

const probe = { service: "checkout", port: "", key: "pr-7", protocol: "http1", path: "/" };

describe("questions", () => {
  test("a probe", async () => {
    const { questions, app } = await startAsked();
    const answer = await questions.answer({ kind: "probe", probe }, 5000);
    expect(answer).toMatchObject({ kind: "probe", probe: { answered: true, endpoint: app } });
    const elsewhere = await questions.answer({ kind: "probe", probe: { ...probe, service: "mail" } }, 5000);
    expect(elsewhere).toMatchObject({ kind: "probe", probe: { answered: false } });
  });

  test("probes take turns, and those that come too late say so", async () => {
    let running = 0;
    let most = 0;
    const { questions } = await startAsked((end) => {
      running++;
      most = Math.max(most, running);
      setTimeout(() => {
        running--;
        end();
      }, 5);
    });
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => questions.answer({ kind: "probe", probe }, 10_000)),
    );
    expect(answers.every((one) => one.kind === "probe" && one.probe.answered)).toBe(true);
    expect(most).toBeLessThanOrEqual(16);
  });

  test("the journal, with whose it is", async () => {
    const { questions, filters } = await startAsked();
    const answer = await questions.answer({ kind: "journal", journal: { trace: "abc", key: "", limit: 0 } }, 1000);
    expect(answer.kind === "journal" && JSON.parse(answer.journal)).toEqual({
      service: "checkout",
      entriesMax: 10,
      kept: 0,
      oldest: null,
      entries: [],
    });
    await questions.answer({ kind: "journal", journal: { trace: "", key: "pr-7", limit: 100_000 } }, 1000);
    expect(filters).toEqual([
      { limit: 250, trace: "abc" },
      { limit: 250, key: "pr-7" },
    ]);
  });

  test("what fails is an answer, too", async () => {
    const { questions } = await startAsked();
    expect(await questions.answer({ kind: "journal", journal: { trace: "bad", key: "", limit: 1 } }, 1000)).toEqual({
      kind: "error",
      error: "no journal today",
    });
  });
});
