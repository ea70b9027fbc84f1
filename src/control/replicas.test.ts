import { once } from "node:events";
import { type RequestListener, createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { QuestionBody } from "../feed/messages.ts";
import { BadQuestionError, askAnywhere, internalRoutes } from "./internal-routes.ts";
import { probed, sidecarInfo } from "./readiness/fixture.ts";
import { ReplicaTls } from "./replica-tls.ts";
import { Replicas } from "./replicas.ts";
import type { ReplicaRecord } from "./store/store.ts";
import { Sidecars } from "./feed/sidecars.ts";
import { traceEverywhere, traceHere } from "./traces.ts";

const record = (id: string, url: string): ReplicaRecord => ({ id, url, secret: `secret of ${id}`, startedAt: "" });

async function startApi(answer: RequestListener): Promise<string> {
  const server = createServer(answer);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function joined(...others: readonly ReplicaRecord[]): Promise<Replicas> {
  const self = record("r-1", "");
  const api = { address: "127.0.0.1:0" };
  const tls = await ReplicaTls.start({ api, replicas: {} }, silentLog);
  onTestFinished(() => tls.close());
  const replicas = new Replicas({ self, tls });
  onTestFinished(() => replicas.close());
  await replicas.join({ join: async (_self, changed) => changed([self, ...others]) }, "");
  return replicas;
}

describe("replicas", () => {
  test("are asked with their own secret, all at once", async () => {
    const asked: unknown[] = [];
    const url = await startApi(({ url: path, headers }, response) => {
      asked.push([path, headers.authorization]);
      response.end('{"ok":true}');
    });
    const replicas = await joined(record("r-2", url), record("r-3", `${url}/`));
    expect(await replicas.askAll("/v1/x?y=1")).toEqual([
      { replica: "r-2", answer: { ok: true } },
      { replica: "r-3", answer: { ok: true } },
    ]);
    expect(asked).toEqual([
      ["/v1/x?y=1", "Bearer secret of r-2"],
      ["/v1/x?y=1", "Bearer secret of r-3"],
    ]);
    expect(replicas.others().map(({ id }) => id)).toEqual(["r-2", "r-3"]);
    expect([replicas.lives("r-1"), replicas.lives("r-3"), replicas.lives("r-4")]).toEqual([true, true, false]);
  });

  test("that do not answer are named, with the reason and in time", async () => {
    const hanging = await startApi(() => {});
    const trickling = await startApi((_request, response) => {
      const timer = setInterval(() => response.write(" "), 10);
      response.on("close", () => clearInterval(timer));
    });
    const refusing = await startApi((_request, response) => void response.writeHead(403).end("no"));
    const babbling = await startApi((_request, response) => void response.end("hello"));
    const gone = await startApi((_request, response) => void response.end());
    const names = [hanging, trickling, refusing, babbling];
    const replicas = await joined(...names.map((url, n) => record(`r-${n + 2}`, url)), record("r-9", ""));
    const answers = await replicas.askAll("/", 100);
    expect(answers.map((one) => ("why" in one ? one.why : "answered"))).toEqual([
      "no answer in time",
      "no answer in time",
      "it answered with status 403: no",
      "its answer is no JSON",
      "it has told no URL of its API",
    ]);
    const port = Number(new URL(gone).port);
    expect(await replicas.ask(record("r-8", `http://127.0.0.2:${port}`), "/")).toEqual({
      replica: "r-8",
      why: "connection refused",
    });
  });
});

describe("what replicas ask each other", () => {
  /** Another replica with one sidecar, served over HTTP. */
  async function startOther() {
    const sidecars = new Sidecars("r-2");
    onTestFinished(() => sidecars.close());
    const questions: QuestionBody[] = [];
    const hello = { ...sidecarInfo({ instance: "there" }), source: "", revision: 0 };
    const membership = sidecars.join(hello, 5, {
      wantedRevision: 5,
      replaced: () => {},
      ask(id, _withinMs, question) {
        questions.push(question);
        const journal = { service: "checkout", entriesMax: 10, kept: 1, oldest: null, entries: [{ seq: 1 }] };
        const answer =
          question.kind === "probe" ? probed() : { kind: "journal" as const, journal: JSON.stringify(journal) };
        membership.answered(id, answer);
      },
    });
    const routes = internalRoutes(sidecars, { revision: 7 }, 1000);
    const url = await startApi((request, response) => {
      const { pathname, searchParams } = new URL(request.url ?? "/", "http://localhost");
      const route = routes.find(({ method, path }) => method === request.method && path === pathname);
      const pieces: Buffer[] = [];
      request.on("data", (piece: Buffer) => pieces.push(piece));
      request.on("end", () => {
        const body: unknown = pieces.length === 0 ? undefined : JSON.parse(Buffer.concat(pieces).toString());
        void route?.answer(searchParams, body).then((answer) => response.end(JSON.stringify(answer)));
      });
    });
    return { url, questions, routes, sidecars };
  }

  const probe = { service: "checkout", port: "", key: "pr-7", protocol: "auto", path: "/" };

  test("their sidecars, with the revision that they have heard of", async () => {
    const { url } = await startOther();
    const replicas = await joined(record("r-2", url));
    expect(await replicas.askAll("/v1/internal/sidecars")).toEqual([
      { replica: "r-2", answer: { revision: 7, sidecars: [expect.objectContaining({ instance: "there" })] } },
    ]);
  });

  test("a question to one of them", async () => {
    const { url, questions } = await startOther();
    const replicas = await joined(record("r-2", url));
    const ask = askAnywhere(new Sidecars("r-1"), replicas);
    const there = sidecarInfo({ instance: "there", replica: "r-2" });
    expect(await ask(there, { kind: "probe", probe }, 1000)).toEqual(probed());
    expect(questions).toEqual([{ kind: "probe", probe }]);
    expect(await ask({ ...there, instance: "gone" }, { kind: "probe", probe }, 1000)).toMatchObject({ kind: "error" });
    expect(await ask({ ...there, replica: "r-9" }, { kind: "probe", probe }, 1000)).toEqual({
      kind: "error",
      error: "its control replica r-9 is gone",
    });
  });

  test("a question that makes no sense is refused", async () => {
    const { routes } = await startOther();
    const route = routes.find(({ method }) => method === "POST");
    for (const body of [undefined, null, {}, { instance: 1 }, { instance: "a", question: {}, withinMs: 1 }]) {
      await expect(route?.answer(new URLSearchParams(), body)).rejects.toThrow(BadQuestionError);
    }
  });

  test("a trace, of all sidecars everywhere; who does not answer is named", async () => {
    const { url, sidecars } = await startOther();
    const replicas = await joined(record("r-2", url), record("r-3", "http://127.0.0.2:1"));
    const found = await traceEverywhere(new Sidecars("r-1"), replicas, "abc", 1000);
    expect(found).toEqual({
      items: [
        {
          instance: "there",
          service: "checkout",
          sandbox: "",
          host: "checkout-host",
          journal: expect.objectContaining({ entries: [{ seq: 1 }] }),
        },
      ],
      missing: [{ replica: "r-3", why: "connection refused" }],
    });
    expect(await traceHere(sidecars, "abc", 1000)).toEqual(found.items);
  });

  test("of a trace that nobody knows, some say how far back they remember", async () => {
    const silent = JSON.stringify({ entriesMax: 10, entries: [] });
    const infos = Array.from({ length: 100 }, (_, n) => sidecarInfo({ instance: `c-${n}` }));
    const sidecars = {
      list: () => [...infos, sidecarInfo({ instance: "sick" }), sidecarInfo({ instance: "s", routes: false })],
      ask: async (instance: string) =>
        instance === "sick"
          ? { kind: "error" as const, error: "no answer" }
          : { kind: "journal" as const, journal: silent },
    };
    const found = await traceHere(sidecars, "abc", 1000);
    expect(found).toHaveLength(21);
    expect(found.filter((one) => "error" in one)).toEqual([expect.objectContaining({ instance: "sick" })]);
  });
});
