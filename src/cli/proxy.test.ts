// `sidelane proxy` as a process: how it starts, refuses to start, drains and ends, alone and with workers.

import { fork } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const main = join(import.meta.dirname, "..", "main.ts");

let directory = "";
let app: http.Server;
/** Answers that `/slow` holds back until it is called. */
let release = (): void => {};
let onSlow = (): void => {};
const started: Process[] = [];

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "sidelane-test-"));
  app = http.createServer((request, response) => {
    if (request.url !== "/slow") return response.end("the app");
    release = () => response.end("the slow app");
    return onSlow();
  });
  app.listen(0, "127.0.0.1");
  await once(app, "listening");
});

afterEach(async () => {
  await Promise.all(started.splice(0).map((sidelane) => sidelane.kill()));
  app.closeAllConnections();
  app.close();
  rmSync(directory, { recursive: true, force: true });
});

interface Ready {
  readonly listeners: Readonly<Record<string, string>>;
  readonly admin: string;
}

class Process {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  readonly ready: Promise<Ready>;
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
    const logged = new Promise<void>((resolve) => this.child.stderr?.once("end", () => resolve()));
    // Not "close", which does not come when this side has disconnected the channel.
    this.exit = new Promise((resolve) => this.child.once("exit", (code) => void logged.then(() => resolve(code))));
    this.ready = new Promise((resolve, reject) => {
      this.child.once("message", (message) => resolve(message as Ready));
      void this.exit.then((code) => reject(new Error(`ended with ${code}: ${this.log}`)));
    });
    this.ready.catch(() => {});
    started.push(this);
  }

  /** Resolves when the log matches as often as wanted. */
  async logs(pattern: RegExp, times = 1): Promise<readonly string[]> {
    for (;;) {
      const found = this.log.match(new RegExp(pattern, "gu")) ?? [];
      if (found.length >= times) return found;
      await once(this.child, "log");
    }
  }

  async kill(): Promise<void> {
    this.child.kill("SIGKILL");
    await this.exit;
  }
}

interface Changes {
  readonly address?: string;
  readonly table?: string;
  readonly more?: string;
}

function sidelane({ address = "127.0.0.1:0", table = "services:\n  app:\n", more = "" }: Changes = {}): Process {
  const { port } = app.address() as AddressInfo;
  writeFileSync(join(directory, "routes.yaml"), table);
  const config = `service: app
listeners:
  - { direction: inbound, address: "${address}", target: 127.0.0.1:${port} }
table: { file: routes.yaml }
admin: { address: 127.0.0.1:0 }
${more}
`;
  writeFileSync(join(directory, "sidelane.yaml"), config);
  return new Process(join(directory, "sidelane.yaml"));
}

async function get(address: string | undefined, path: string): Promise<{ status: number; body: string }> {
  const answer = await fetch(`http://${address}${path}`);
  return { status: answer.status, body: await answer.text() };
}

describe("does not start with", () => {
  test.each<[string, Changes, RegExp]>([
    ["a bad config", { more: "wrkers: 2" }, /sidelane\.yaml:\d+:\d+: .*wrkers.*workers/u],
    ["a bad table", { table: "services:\n  a: { hots: [a] }\n" }, /routes\.yaml:2:\d+: .*hots/u],
    ["a bad table, seen by a supervisor", { table: "services: [", more: "workers: 2" }, /routes\.yaml:1:\d+: /u],
  ])("%s", async (_, changes, message) => {
    const process_ = sidelane(changes);
    expect(await process_.exit).toBe(1);
    expect(process_.log).toMatch(message);
    expect(process_.log).not.toMatch(/^\s+at /mu);
  });

  test.each([1, 2])("an address that is taken (workers: %i)", async (workers) => {
    const taken = net.createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    const process_ = sidelane({ address: `127.0.0.1:${port}`, more: `workers: ${workers}` });
    expect(await process_.exit).toBe(1);
    expect(process_.log).toContain(`127.0.0.1:${port}`);
    expect(process_.log).not.toMatch(/^\s+at /mu);
    taken.close();
  });
});

describe.each([1, 2])("with %i worker(s)", (workers) => {
  const more = `workers: ${workers}`;

  test("says over IPC where it listens, serves, and ends with 0 on SIGTERM", async () => {
    const process_ = sidelane({ more });
    const { listeners, admin } = await process_.ready;
    expect(await get(listeners["inbound"], "/")).toEqual({ status: 200, body: "the app" });
    expect((await get(admin, "/ready")).status).toBe(200);
    expect((await get(admin, "/metrics")).body).toMatch(/^sidelane_requests_total\{[^}]*code="200"[^}]*\} 1$/mu);
    process_.child.kill("SIGHUP");
    process_.child.kill("SIGTERM");
    expect(await process_.exit).toBe(0);
  });

  test("while it drains it is not ready and finishes what runs; a second signal ends it at once", async () => {
    const process_ = sidelane({ more });
    const { listeners, admin } = await process_.ready;
    const reached = new Promise<void>((resolve) => (onSlow = resolve));
    const slow = get(listeners["inbound"], "/slow");
    await reached;
    process_.child.kill("SIGTERM");
    await process_.logs(/"message":"draining"/u);
    expect((await get(admin, "/ready")).status).toBe(503);
    release();
    expect((await slow).body).toBe("the slow app");
    expect(await process_.exit).toBe(0);

    const second = sidelane({ more });
    const reachedAgain = new Promise<void>((resolve) => (onSlow = resolve));
    const cutOff = get((await second.ready).listeners["inbound"], "/slow").catch(() => "cut off");
    await reachedAgain;
    second.child.kill("SIGTERM");
    await second.logs(/"message":"draining"/u);
    second.child.kill("SIGINT");
    expect(await second.exit).toBe(1);
    expect(await cutOff).toBe("cut off");
  });

  test("POST /drain ends it too", async () => {
    const process_ = sidelane({ more });
    const { admin } = await process_.ready;
    expect((await fetch(`http://${admin}/drain`, { method: "POST" })).ok).toBe(true);
    expect(await process_.exit).toBe(0);
  });

  test("ends when the process that started it is gone", async () => {
    const process_ = sidelane({ more });
    await process_.ready;
    process_.child.disconnect();
    expect(await process_.exit).toBe(0);
  });
});

describe("a supervisor", () => {
  test("starts a crashed worker again, and the address stays", async () => {
    const process_ = sidelane({ more: "workers: 2" });
    const { listeners } = await process_.ready;
    const [first] = await process_.logs(/"workerPid":\d+/u, 2);
    process.kill(Number(first?.replace(/\D/gu, "")), "SIGKILL");
    await process_.logs(/"workerPid":\d+/u, 3);
    expect((await get(listeners["inbound"], "/")).body).toBe("the app");
    process_.child.kill("SIGTERM");
    expect(await process_.exit).toBe(0);
  });

  test("that is killed takes its workers along", async () => {
    const process_ = sidelane({ more: "workers: 2" });
    await process_.ready;
    const pids = (await process_.logs(/"workerPid":\d+/u, 2)).map((text) => Number(text.replace(/\D/gu, "")));
    await process_.kill();
    while (pids.some(isAlive)) await sleep(10);
    expect(pids.filter(isAlive)).toEqual([]);
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
