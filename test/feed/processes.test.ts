// `sidelane proxy` that follows a control plane, as processes: how it starts, waits, ends and survives.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, onTestFailed, onTestFinished, test } from "vitest";
import { loadTable } from "../../src/config/load-table.ts";
import { startFeedServer, update, whole } from "../support/feed-server.ts";
import { eventually } from "../support/quiet.ts";
import { deadPort } from "../support/requests.ts";

const main = join(import.meta.dirname, "..", "..", "src", "main.ts");

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "sidelane-feed-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
});

interface Listening {
  readonly listeners: { readonly inbound: string };
  readonly admin: string;
}

class Proxy {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  readonly listening: Promise<Listening>;
  log = "";

  constructor(config: string) {
    this.child = fork(main, ["proxy", "--config", config], {
      execArgv: [],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
      this.child.emit("log");
    });
    this.exit = new Promise((resolve) => this.child.once("exit", resolve));
    this.listening = once(this.child, "message").then(([message]) => message as Listening);
    this.listening.catch(() => {});
  }

  /** Resolves with the first group of the pattern when the log matches. */
  async logged(pattern: RegExp): Promise<string> {
    for (;;) {
      const found = pattern.exec(this.log);
      if (found !== null) return found[1] ?? "";
      await once(this.child, "log");
    }
  }
}

/** An app that says who it is. */
async function startApp(name: string): Promise<string> {
  const app = createServer((_, response) => response.end(name));
  app.listen(0, "127.0.0.1");
  await once(app, "listening");
  onTestFinished(() => {
    app.closeAllConnections();
    app.close();
  });
  return `127.0.0.1:${(app.address() as AddressInfo).port}`;
}

async function startSidelane(control: string, target: string, more: object = {}): Promise<Proxy> {
  const config = {
    service: "checkout",
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target }],
    table: { control, keep: "kept.json" },
    admin: { address: "127.0.0.1:0" },
    ...more,
  };
  const file = join(folder, "sidelane.yaml");
  await writeFile(file, JSON.stringify(config));
  const proxy = new Proxy(file);
  onTestFailed(() => console.error(proxy.log));
  onTestFinished(async () => {
    proxy.child.kill("SIGKILL");
    await proxy.exit;
  });
  return proxy;
}

async function ask(address: string, key?: string): Promise<string> {
  const headers = key === undefined ? {} : { baggage: `sidelane=${key}` };
  return (await fetch(`http://${address}/`, { headers })).text();
}

async function admin(address: string, path: string): Promise<{ readonly status: number; readonly body: object }> {
  const answer = await fetch(`http://${address}${path}`);
  return { status: answer.status, body: (await answer.json()) as object };
}

const shop = (endpoint: string) => ({
  services: { checkout: {} },
  sandboxes: { "pr-7": { services: { checkout: [endpoint] } } },
});

describe.each([1, 2])("without a table (workers: %i)", (workers) => {
  test("the admin server is up and says so; the listeners open when the first table comes", async () => {
    const [app, sandbox] = [await startApp("baseline"), await startApp("pr-7")];
    const port = await deadPort();
    const proxy = await startSidelane(`127.0.0.1:${port}`, app, { workers });
    const address = await proxy.logged(/"admin":"([^"]+)"/u);
    expect((await admin(address, "/live")).status).toBe(200);
    expect(await admin(address, "/ready")).toMatchObject({ status: 503, body: { reasons: [{ reason: "no-table" }] } });
    expect((await admin(address, "/table")).body).toMatchObject({ version: 0, revision: 0, connected: false });
    const server = await startFeedServer({ port, onHello: (sidecar) => sidecar.send(whole(5, shop(sandbox))) });
    const { listeners } = await proxy.listening;
    expect((await admin(address, "/ready")).status).toBe(200);
    expect([await ask(listeners.inbound), await ask(listeners.inbound, "pr-7")]).toEqual(["baseline", "pr-7"]);
    expect((await admin(address, "/table")).body).toMatchObject({
      version: 1,
      revision: 5,
      source: `control 127.0.0.1:${port}`,
    });
    const routing = server.streams.filter(({ hello }) => hello.routes);
    expect(routing).toHaveLength(workers);
    expect(new Set(server.streams.map(({ hello }) => hello.instance)).size).toBe(server.streams.length);
    const metrics = await (await fetch(`http://${address}/metrics`)).text();
    expect(metrics).toMatch(/^sidelane_table_revision 5$/mu);
    proxy.child.kill("SIGTERM");
    expect(await proxy.exit).toBe(0);
    expect(routing.every(({ saidGoodbye }) => saidGoodbye)).toBe(true);
  });

  test("SIGTERM ends it at once", async () => {
    const proxy = await startSidelane(`127.0.0.1:${await deadPort()}`, "127.0.0.1:1", { workers });
    await proxy.logged(/(not connected)/u);
    proxy.child.kill("SIGTERM");
    expect(await proxy.exit).toBe(0);
  });
});

test("with workers, the supervisor keeps the table, and a change reaches all", async () => {
  const [app, sandbox, other] = [await startApp("baseline"), await startApp("pr-7"), await startApp("pr-8")];
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, shop(sandbox))) });
  const proxy = await startSidelane(server.address, app, { workers: 2 });
  const { listeners, admin: address } = await proxy.listening;
  await eventually(() => server.streams.length === 3 && existsSync(join(folder, "kept.json")));
  const changed = update(6, { sandboxes: { "pr-8": { services: { checkout: [other] } } } });
  for (const stream of server.streams) stream.send(changed);
  await Promise.all(server.streams.map((stream) => stream.applied(6)));
  for (let turn = 0; turn < 10; turn++) expect(await ask(listeners.inbound, "pr-8")).toBe("pr-8");
  await eventually(async () => (await readFile(join(folder, "kept.json"), "utf8")).includes('"revision":6'));
  expect((await admin(address, "/table")).body).toMatchObject({ revision: 6 });
});

test("requests keep flowing while the control plane dies, is away, and comes back with a change", async () => {
  const [app, sandbox, other] = [await startApp("baseline"), await startApp("pr-7"), await startApp("pr-7 again")];
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, shop(sandbox))) });
  const proxy = await startSidelane(server.address, app);
  const { listeners, admin: address } = await proxy.listening;
  const answers: string[] = [];
  let going = true;
  const client = (async () => {
    while (going) answers.push(await ask(listeners.inbound, "pr-7"));
  })();
  await eventually(() => answers.length > 50);
  server.kill();
  await proxy.logged(/(not connected to the control plane, table 1)/u);
  const before = answers.length;
  await eventually(() => answers.length > before + 50);
  expect(new Set(answers)).toEqual(new Set(["pr-7"]));
  expect((await admin(address, "/table")).body).toMatchObject({
    revision: 5,
    connected: false,
    connectionProblem: expect.stringMatching(/./u),
  });
  expect((await admin(address, "/ready")).status).toBe(200);
  const again = await startFeedServer({
    port: server.port,
    onHello: (sidecar) => sidecar.send(update(6, shop(other))),
  });
  await (await again.stream(0)).applied(6);
  await eventually(() => answers.at(-1) === "pr-7 again");
  going = false;
  await client;
  expect(new Set(answers)).toEqual(new Set(["pr-7", "pr-7 again"]));
});

test("asked for some services only, a sidecar refuses nobody for requiring one that it does not know", async () => {
  const [app, sandbox] = [await startApp("baseline"), await startApp("pr-7")];
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(5, shop(sandbox))) });
  const table = { control: server.address, keep: "kept.json", services: ["ledger"] };
  const proxy = await startSidelane(server.address, app, { table });
  const { inbound } = (await proxy.listening).listeners;
  expect((await server.stream(0)).hello.scope).toEqual({ services: ["checkout", "ledger"], names: false });
  expect(await ask(inbound, "pr-7;require=elsewhere")).toBe("pr-7");
  expect(await ask(inbound, "nobody;require=checkout")).toContain("expectation-failed");
});

test("kill -9 at any moment leaves a table to start from", async () => {
  const [app, sandbox] = [await startApp("baseline"), await startApp("pr-7")];
  const keep = join(folder, "kept.json");
  const many = (revision: number) => ({
    ...shop(sandbox),
    groups: Object.fromEntries(
      Array.from({ length: 150 }, (_, index) => [`g-${revision}-${index}`, { sandboxes: ["pr-7"] }]),
    ),
  });
  let last = 5;
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(last, many(last))) });
  for (const [round, kills] of [1, 3, 10].entries()) {
    const proxy = await startSidelane(server.address, app);
    const stream = await server.stream(round);
    await stream.applied(last);
    // Changes one after the other: it writes one of them nearly always, and begins to when it has acknowledged.
    for (let turn = 0; turn < kills; turn++) {
      last++;
      stream.send(whole(last, many(last)));
      await stream.applied(last);
    }
    proxy.child.kill("SIGKILL");
    await proxy.exit;
    if (existsSync(keep))
      expect(loadTable(await readFile(keep), keep)).toMatchObject({ ok: true, counts: { groups: 150 } });
  }
  server.kill();
  const alone = await startSidelane(server.address, app);
  expect(await ask((await alone.listening).listeners.inbound, "pr-7")).toBe("pr-7");
});
