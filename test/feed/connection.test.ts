// How a sidecar comes to its control plane and comes back: resume, credentials, being sent away, questions, activity, goodbye.
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { ServerCredentials, status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { loadTable } from "../../src/config/load-table.ts";
import type { Activity } from "../../src/feed/messages.ts";
import { makeAuthority, PemFolder } from "../support/certificates.ts";
import { startFeedServer, update, whole } from "../support/feed-server.ts";
import { eventually } from "../support/quiet.ts";
import { makeSource, startSource, targetOf } from "./source.ts";

const SHOP = {
  services: { checkout: {} },
  sandboxes: { "pr-7": { services: { checkout: ["10.0.0.7:8080"] } } },
} as const;
const eight = {
  sandboxes: { "pr-8": { services: { checkout: ["10.0.0.8:8080"] } } },
  groups: { both: { sandboxes: [] } },
} as const;

describe("the server goes", () => {
  test("the table stays; the next stream resumes, with another server on the port", async () => {
    const first = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
    const followed = await startSource({ control: first.address });
    await (await first.stream(0)).applied(5);
    first.kill();
    await eventually(() => followed.source.status().feed?.connected === false);
    expect(targetOf(followed, "pr-7")).toBe("pr-7");
    const second = await startFeedServer({ port: first.port, onHello: (sidecar) => sidecar.send(update(6, eight)) });
    const stream = await second.stream(0);
    expect(stream.hello).toMatchObject({ source: "history-1", revision: 5 });
    await stream.applied(6);
    expect([targetOf(followed, "pr-7"), targetOf(followed, "pr-8")]).toEqual(["pr-7", "pr-8"]);
    const told = followed.lines.filter((line) => line.includes("not connected to the control plane"));
    expect(told.length).toBeGreaterThan(0);
    expect(told[0]).toMatch(/^warn .*table 1 \([0-9a-f]{12}\) stays in use/u);
  });

  test("it takes the stream and says nothing, or is no control plane at all", async () => {
    const server = await startFeedServer();
    const { source, lines } = await makeSource({ control: server.address, deps: { firstMessageMs: 100 } });
    source.start().catch(() => {});
    await server.stream(1);
    expect(lines[0]).toMatch(/^warn not connected .* has said nothing for 100 ms/u);
    const web = createServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n"));
    web.listen(0, "127.0.0.1");
    await once(web, "listening");
    onTestFinished(() => void web.close());
    const { port } = web.address() as AddressInfo;
    const other = await makeSource({ control: `127.0.0.1:${port}` });
    other.source.start().catch(() => {});
    await eventually(() => other.lines.length > 0);
    expect(other.lines[0]).toMatch(/^warn not connected to the control plane, there is no table yet/u);
  });

  test("it asks to come again", async () => {
    const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
    const { lines } = await startSource({ control: server.address });
    const stream = await server.stream(0);
    stream.say({ kind: "reconnect", afterMs: 50 });
    expect((await server.stream(1)).hello).toMatchObject({ revision: 5 });
    expect(stream.ended).toBe(true);
    expect(lines.some((line) => line.startsWith("warn") || line.startsWith("error"))).toBe(false);
  });
});

describe("the kept table", () => {
  test("a restart begins with it while the server is down, and resumes when it is there", async () => {
    const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, { ...SHOP, ...eight })) });
    const before = await startSource({ control: server.address });
    await before.source.close();
    server.kill();
    const after = await startSource({ control: server.address, keep: before.keep });
    expect(after.source.status()).toMatchObject({ version: 1, revision: 5, digest: before.source.status().digest });
    expect(targetOf(after, "pr-8")).toBe("pr-8");
    const again = await startFeedServer({ port: server.port, onHello: (sidecar) => sidecar.send(update(6, {})) });
    expect((await again.stream(0)).hello).toMatchObject({ source: "history-1", revision: 5 });
  });

  test("it is a table file as people write it", async () => {
    const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, { ...SHOP, ...eight })) });
    const { source, keep } = await startSource({ control: server.address });
    await source.close();
    const text = await readFile(keep, "utf8");
    expect(text.split("\n")[0]).toMatch(
      /^# sidelane table feed: \{"source":"history-1","revision":5,"service":"checkout","scope":/u,
    );
    expect(loadTable(text, keep)).toMatchObject({ ok: true, counts: { services: 1, sandboxes: 1, groups: 1 } });
  });

  test.each<[string, (text: string) => string, RegExp]>([
    ["cut off", (text) => text.slice(0, -20), /is damaged/u],
    ["changed by hand", (text) => text.replace("10.0.0.8", "10.0.0.9"), /was changed by hand/u],
    [
      "of another service",
      (text) => text.replace('"service":"checkout"', '"service":"ledger"'),
      /was kept for service ledger/u,
    ],
    ["of another scope", (text) => text.replace('"names":false', '"names":true'), /another choice of table\.services/u],
    ["something else", () => "services: {}\n", /is no table that a sidecar has kept/u],
    ["empty", () => "", /is no table that a sidecar has kept/u],
  ])("one that is %s is not used, with a warning", async (_, spoil, why) => {
    const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, { ...SHOP, ...eight })) });
    const { source, keep } = await startSource({ control: server.address });
    await source.close();
    await writeFile(keep, spoil(await readFile(keep, "utf8")));
    const after = await startSource({ control: server.address, keep });
    expect(after.lines.filter((line) => line.startsWith("warn")).join("\n")).toMatch(why);
    expect((await server.stream(1)).hello).toMatchObject({ source: "", revision: 0 });
  });

  test("that cannot be written is told once, and nothing else happens", async () => {
    const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
    const { source, lines } = await startSource({ control: server.address, keep: "/proc/nothing/kept.json" });
    const stream = await server.stream(0);
    stream.send(update(6, eight));
    await stream.applied(6);
    await source.close();
    expect(lines.filter((line) => line.includes("the table is not kept"))).toHaveLength(1);
  });

  test("is written by the process that is to, and by no other", async () => {
    const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
    const { source, keep } = await startSource({ control: server.address, keeps: false });
    await source.close();
    await expect(readFile(keep)).rejects.toThrow("ENOENT");
  });
});

describe("credentials", () => {
  test("TLS, a client certificate and a token that is read anew for each connection", async () => {
    const authority = await makeAuthority();
    const folder = await PemFolder.make();
    const server_ = await authority.sign("control", { names: ["feed.example"] });
    const client = await authority.sign("checkout");
    const server = await startFeedServer({
      credentials: ServerCredentials.createSsl(
        Buffer.from(authority.certificate),
        [{ cert_chain: Buffer.from(server_.certificate), private_key: Buffer.from(server_.key) }],
        true,
      ),
      onHello: (sidecar) => sidecar.send(whole(5, SHOP)),
    });
    const tls = {
      ca: await folder.put("ca.crt", authority.certificate),
      ...(await folder.putPair("client", client)),
      serverName: "feed.example",
    };
    const tokenFile = await folder.put("token", "first-token\n");
    await startSource({ control: server.address, config: { tls, tokenFile } });
    const first = await server.stream(0);
    expect(first.authorization).toBe("Bearer first-token");
    await folder.put("token", "second-token\n");
    first.end();
    expect((await server.stream(1)).authorization).toBe("Bearer second-token");
  });

  test("an authority that is not the server's, and a token file that is not there: told, and tried again", async () => {
    const [authority, other] = [await makeAuthority(), await makeAuthority("Other")];
    const folder = await PemFolder.make();
    const pair = await authority.sign("control", { names: ["localhost"], addresses: ["127.0.0.1"] });
    const server = await startFeedServer({
      credentials: ServerCredentials.createSsl(null, [
        { cert_chain: Buffer.from(pair.certificate), private_key: Buffer.from(pair.key) },
      ]),
      onHello: (sidecar) => sidecar.send(whole(5, SHOP)),
    });
    const ca = await folder.put("ca.crt", other.certificate);
    const tokenFile = `${folder.path}/token`;
    const followed = await makeSource({ control: server.address, config: { tls: { ca }, tokenFile } });
    const started = followed.source.start();
    await eventually(() =>
      followed.lines.some((line) => /warn .*there is no table yet.*token does not exist/u.test(line)),
    );
    await folder.put("token", "token");
    await eventually(() => followed.lines.some((line) => /certificate/u.test(line)));
    await folder.put("ca.crt", authority.certificate);
    await started;
    expect(server.streams).toHaveLength(1);
  });

  test("that are refused are told once, with what to do", async () => {
    const server = await startFeedServer();
    server.refuse = { code: status.UNAUTHENTICATED, details: "unknown token" };
    const { source, lines } = await makeSource({ control: server.address });
    const started = source.start();
    await server.untilRefused(1);
    await eventually(() => lines.length > 0);
    expect(lines).toEqual([
      expect.stringMatching(
        /^error not connected to the control plane, there is no table yet .*does not accept this sidecar's credentials \(unknown token\); give it a token/u,
      ),
    ]);
    const [, retryMs] = /"retryMs":(\d+)/u.exec(lines[0] ?? "") ?? [];
    expect(Number(retryMs)).toBeGreaterThanOrEqual(30_000);
    await source.close();
    await expect(started).rejects.toThrow("stopped before there was a table");
  });
});

test("questions are answered, also when answering fails", async () => {
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
  await startSource({
    control: server.address,
    deps: {
      questions: {
        async answer(question, withinMs) {
          if (question.kind === "journal") throw new Error("no journal");
          return {
            kind: "probe",
            probe: { answered: true, destination: question.probe.key, endpoint: "", status: withinMs, detail: "" },
          };
        },
        activity: () => undefined,
      },
    },
  });
  const stream = await server.stream(0);
  const probe = { service: "checkout", port: "", key: "pr-7", protocol: "", path: "" };
  stream.say({ kind: "question", id: 7, withinMs: 200, question: { kind: "probe", probe } });
  stream.say({
    kind: "question",
    id: 8,
    withinMs: 200,
    question: { kind: "journal", journal: { trace: "", key: "", limit: 1 } },
  });
  await stream.until(() => stream.answers.size === 2);
  expect(stream.answers.get(7)).toMatchObject({
    kind: "probe",
    probe: { answered: true, destination: "pr-7", status: 200 },
  });
  expect(stream.answers.get(8)).toEqual({ kind: "error", error: "Error: no journal" });
});

test("activity is told at the beginning, when there is some, before the acknowledgement of a table, and once when it is over", async () => {
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
  const busy: Activity = { used: [], busy: [{ sandbox: "pr-7", exchanges: 2 }] };
  let now: Activity | undefined;
  await startSource({
    control: server.address,
    deps: { questions: { answer: async () => ({ kind: "error", error: "" }), activity: () => now } },
  });
  const stream = await server.stream(0);
  await stream.applied(5);
  // Also that nothing runs: a control plane that knew of something before a break is told that it is over.
  const nothing = { used: [], busy: [] };
  expect(stream.activities).toEqual([nothing]);
  now = busy;
  stream.send(update(6, {}, { removedSandboxes: ["pr-7"] }));
  await stream.until(() => stream.activities.length > 1);
  expect(stream.acks.map(({ revision }) => revision)).toEqual([5]);
  await stream.applied(6);
  now = undefined;
  await stream.until(() => stream.activities.length > 2);
  expect(stream.activities).toEqual([nothing, busy, nothing]);
});

test("goodbye is said once, the stream goes on until the other side ends it, and nobody comes back", async () => {
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, SHOP)) });
  const { source } = await startSource({ control: server.address });
  const stream = await server.stream(0);
  source.goodbye();
  source.goodbye();
  await stream.until(() => stream.saidGoodbye && stream.ended);
  await source.close();
  expect(server.streams).toHaveLength(1);
});
