// The control plane end to end while its parts are killed, stopped and cut off: real replicas on real etcd, real sidecars with
// requests all the time, and people who write at both replicas. Not part of `npm test`: it needs etcd (Debian: etcd-server and
// etcd-client), and root for network namespaces (iproute2, iptables).
//
// Long because each fault needs a world of its own.
import { execFile } from "node:child_process";
import { cp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { startEtcd } from "../support/etcd.ts";
import { makeIslands } from "../support/etcd-islands.ts";
import {
  Callers,
  Forwarder,
  ReplicaProcess,
  SidecarProcess,
  folder,
  startApp,
  until,
} from "../support/replica-world.ts";

const run = promisify(execFile);

interface AuditLine {
  readonly revision: number;
  readonly action: string;
  readonly kind: string;
  readonly name: string;
}

async function auditOf(replica: ReplicaProcess): Promise<readonly AuditLine[]> {
  const { entries } = (await replica.send("GET", "/v1/audit?limit=1000")) as { entries: readonly AuditLine[] };
  return entries.toReversed();
}

async function sandboxNames(replica: ReplicaProcess): Promise<readonly string[]> {
  const { sandboxes } = (await replica.send("GET", "/v1/sandboxes?limit=1000")) as {
    sandboxes: readonly { readonly name: string }[];
  };
  return sandboxes.map(({ name }) => name);
}

/** Somebody who makes sandboxes one after the other, and notes what was answered. */
class Somebody {
  readonly acknowledged: string[] = [];
  readonly unclear: string[] = [];
  readonly refused: string[] = [];
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(letter: string, replica: ReplicaProcess, app: string, pauseMs = 30) {
    this.#running = this.#write(letter, replica, app, pauseMs);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #write(letter: string, replica: ReplicaProcess, app: string, pauseMs: number): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const name = `${letter}${i}`;
      const { status, body } = await replica.ask("POST", "/v1/sandboxes", { name, services: { checkout: [app] } });
      if (status === 201) this.acknowledged.push(name);
      else if (status === 0 || status === 503) this.unclear.push(`${name} ${status} ${JSON.stringify(body)}`);
      else this.refused.push(`${name} ${status} ${JSON.stringify(body)}`);
      await pause(status === 0 ? 200 : pauseMs);
    }
  }
}

/** All that was acknowledged is there; nothing was made twice; the log is what the table is. */
async function expectTrue(replicas: readonly ReplicaProcess[], people: readonly Somebody[]): Promise<void> {
  const [first] = replicas;
  if (first === undefined) throw new Error("a replica");
  const names = await sandboxNames(first);
  for (const other of replicas.slice(1)) {
    await until(
      "the replicas have the same",
      async () => (await sandboxNames(other)).join() === (await sandboxNames(first)).join(),
    );
  }
  for (const { acknowledged, refused } of people) {
    expect(acknowledged.filter((name) => !names.includes(name))).toEqual([]);
    expect(refused).toEqual([]);
  }
  const made = (await auditOf(first)).filter(({ kind, action }) => kind === "sandbox" && action === "create");
  expect(made.map(({ name }) => name).toSorted()).toEqual([...new Set(made.map(({ name }) => name))].toSorted());
  for (const name of names) expect(made.map((one) => one.name)).toContain(name);
}

async function untilSameTable(
  replica: ReplicaProcess,
  sidecars: readonly SidecarProcess[],
  withinMs = 40_000,
): Promise<void> {
  const { revision } = await replica.send("GET", "/v1/sandboxes?limit=1");
  await until(
    `all sidecars have revision ${String(revision)}`,
    async () => {
      const tables = await Promise.all(sidecars.map((one) => one.table()));
      return tables.every((table) => table.connected && table.revision >= Number(revision));
    },
    withinMs,
  ).catch(async (error: unknown) => {
    throw new Error(`${String(error)} ${JSON.stringify(await Promise.all(sidecars.map((one) => one.table())))}`);
  });
  expect(new Set((await Promise.all(sidecars.map((one) => one.table()))).map(({ digest }) => digest)).size).toBe(1);
}

describe("two replicas on three members of etcd", () => {
  test("kill -9 of a replica, then of etcd's leader, while people write at both and requests flow", async () => {
    const etcd = await startEtcd({ members: 3 });
    const store = `etcd://${etcd.endpoints}/sidelane`;
    const [a, b] = [await ReplicaProcess.start(store), await ReplicaProcess.start(store)];
    const [viaA, viaB] = [await Forwarder.start(a.feed, b.feed), await Forwarder.start(b.feed, a.feed)];
    const [baseline, app] = [await startApp("baseline"), await startApp("app")];
    await a.send("POST", "/v1/services", { name: "checkout" });
    await a.send("POST", "/v1/sandboxes", { name: "stable", services: { checkout: [app] } });
    const sidecars = [
      await SidecarProcess.start({ control: viaA.address, target: baseline }),
      await SidecarProcess.start({ control: viaA.address, target: baseline, services: ["checkout"] }),
      await SidecarProcess.start({ control: viaB.address, target: baseline }),
    ];
    expect(await b.wait("stable", "ready")).toMatchObject({ data: { reached: true } });
    const right = new Map([
      ["stable", ["app"]],
      ["", ["baseline"]],
      ["nobody", ["baseline"]],
    ]);
    const callers = new Callers(sidecars, () => right);
    const people = [new Somebody("a", a, app), new Somebody("b", b, app)];
    await until("they write", () => people.every(({ acknowledged }) => acknowledged.length > 10));

    await a.kill();
    await pause(1500);
    // Its sidecars are at the other one now and go on from where they were.
    await untilSameTable(b, [sidecars[2] as SidecarProcess]);
    await b.send("POST", "/v1/sandboxes", { name: "meanwhile", services: { checkout: [app] } });
    // Not before it is certain that nobody follows the one that is gone.
    expect((await b.wait("meanwhile", "ready", 45_000)).data).toMatchObject({ reached: true });
    right.set("meanwhile", ["app"]);
    await a.start();

    const leader = await etcd.leader();
    await leader.kill();
    await pause(2500);
    await leader.start();
    const stopped = await etcd.leader();
    stopped.signal("SIGSTOP");
    await pause(2500);
    stopped.signal("SIGCONT");

    const before = people.map(({ acknowledged }) => acknowledged.length);
    await until("they go on", () =>
      people.every(({ acknowledged }, at) => acknowledged.length > (before[at] ?? 0) + 5),
    );
    for (const one of people) await one.stop();
    await expectTrue([a, b], people);
    await untilSameTable(a, sidecars);
    await callers.stop();
    expect(callers.wrong).toEqual([]);
    for (const one of people) for (const text of one.unclear) expect(text).toMatch(/ 0 | 503 .*cannot be reached/u);
  }, 120_000);

  test("a replica that is cut off from etcd alone: reads, routes, writes nothing, and nobody takes its sidecars for current", async () => {
    const places = await makeIslands(5);
    const [one, two, three, placeOfA, placeOfB] = places;
    if (one === undefined || two === undefined || three === undefined) throw new Error("five islands");
    if (placeOfA === undefined || placeOfB === undefined) throw new Error("five islands");
    const etcd = await startEtcd({ places: [one, two, three] });
    const store = `etcd://${etcd.endpoints}/sidelane`;
    const a = await ReplicaProcess.start(store, { place: placeOfA });
    const b = await ReplicaProcess.start(store, { place: placeOfB });
    const [baseline, app] = [await startApp("baseline"), await startApp("app")];
    await a.send("POST", "/v1/services", { name: "checkout" });
    await a.send("POST", "/v1/sandboxes", { name: "stable", services: { checkout: [app] } });
    const sidecars = [
      await SidecarProcess.start({ control: a.feed, target: baseline }),
      await SidecarProcess.start({ control: b.feed, target: baseline }),
    ];
    const [atA] = sidecars as [SidecarProcess];
    expect(await b.wait("stable", "ready")).toMatchObject({ data: { reached: true } });
    const right = new Map([
      ["stable", ["app"]],
      ["", ["baseline"]],
    ]);
    const callers = new Callers(sidecars, () => right);

    for (const place of [one, two, three]) await placeOfA.block(place);
    const refused = await a.ask("POST", "/v1/sandboxes", { name: "lost", services: { checkout: [app] } });
    expect(refused).toMatchObject({ status: 503 });
    expect(String(refused.body["detail"])).toContain("cannot be reached");
    await b.send("POST", "/v1/sandboxes", { name: "new", services: { checkout: [app] } });
    expect(await a.ask("GET", "/v1/sandboxes/stable")).toMatchObject({ status: 200 });
    expect(await a.ask("GET", "/v1/sandboxes/new")).toMatchObject({ status: 404 });
    // Longer than etcd holds the lease of a replica of which it hears nothing.
    const waited = await b.wait("new", "ready", 16_000);
    expect(waited.data.reached).toBe(false);
    expect(waited.data.message).toMatch(/control replica .* has not heard of revision \d+ yet/u);
    for (const { data } of waited.all) {
      expect(data.status.conditions.find(({ type }) => type === "Applied")?.status).not.toBe("true");
    }
    expect(await callers.get(atA, "new")).toBe("baseline");

    for (const place of [one, two, three]) await placeOfA.unblock(place);
    expect(await b.wait("new", "ready")).toMatchObject({ data: { reached: true } });
    expect(await callers.get(atA, "new")).toBe("app");
    await a.send("POST", "/v1/sandboxes", { name: "after", services: { checkout: [app] } });
    expect(await a.wait("after", "ready")).toMatchObject({ data: { reached: true } });
    await untilSameTable(b, sidecars);
    const names = (await auditOf(a)).filter(({ kind }) => kind === "sandbox").map(({ name }) => name);
    expect(names.filter((name) => name !== "lost")).toEqual(["stable", "new", "after"]);

    // The replicas from each other only: what they write is seen, and neither vouches for the other's sidecars.
    await placeOfA.block(placeOfB);
    await b.send("POST", "/v1/sandboxes", { name: "apart", services: { checkout: [app] } });
    const apart = await b.wait("apart", "ready", 4000);
    expect(apart.data.reached).toBe(false);
    expect(apart.data.message).toMatch(/control replica .* cannot be asked about its sidecars: no answer in time/u);
    expect(await callers.get(atA, "apart")).toBe("app");
    await placeOfA.unblock(placeOfB);
    expect(await b.wait("apart", "ready")).toMatchObject({ data: { reached: true } });
    await callers.stop();
    expect(callers.wrong).toEqual([]);
  }, 120_000);
});

describe("one replica on a directory", () => {
  test("delete --wait while the stream of the sidecar with the last exchange breaks", async () => {
    const control = await ReplicaProcess.start(`file:${await folder()}`);
    const via = await Forwarder.start(control.feed);
    let finish: (() => void) | undefined;
    const app = await startApp("app", (asked, response) => {
      if (asked.headers["user-agent"] === "sidelane-probe") return void response.end("app");
      response.write("app");
      finish = () => response.end();
    });
    await control.send("POST", "/v1/services", { name: "checkout" });
    const sidecar = await SidecarProcess.start({ control: via.address, target: await startApp("baseline") });
    await control.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: [app] } });
    expect(await control.wait("pr-7", "ready")).toMatchObject({ data: { reached: true } });
    const callers = new Callers([], () => new Map());
    const exchange = callers.get(sidecar, "pr-7");
    await until("the exchange runs", () => finish !== undefined);
    await control.send("DELETE", "/v1/sandboxes/pr-7");
    expect(await control.wait("pr-7", "deleted", 1500)).toMatchObject({ data: { reached: false } });
    const waiting = control.wait("pr-7", "deleted", 20_000);
    for (let i = 0; i < 5; i++) {
      via.drop();
      await pause(400);
    }
    via.targets = ["127.0.0.1:1"];
    via.drop();
    await pause(1000);
    expect(await Promise.race([waiting, pause(10)])).toBeUndefined();
    via.targets = [control.feed];
    await until("it is back", async () => (await sidecar.table()).connected);
    await pause(1000);
    expect(await Promise.race([waiting, pause(10)])).toBeUndefined();
    finish?.();
    expect(await exchange).toBe("app");
    expect(await waiting).toMatchObject({ data: { reached: true } });
  });

  test("a backup put back over the same directory: sidecars take the older table", async () => {
    const directory = await folder();
    const backup = await folder();
    const control = await ReplicaProcess.start(`file:${directory}`);
    const [baseline, app] = [await startApp("baseline"), await startApp("app")];
    await control.send("POST", "/v1/services", { name: "checkout" });
    await control.send("POST", "/v1/sandboxes", { name: "old", services: { checkout: [app] } });
    const sidecars = [
      await SidecarProcess.start({ control: control.feed, target: baseline }),
      await SidecarProcess.start({ control: control.feed, target: baseline, services: ["checkout"] }),
    ];
    await cp(directory, backup, { recursive: true });
    for (let i = 0; i < 5; i++) {
      await control.send("POST", "/v1/sandboxes", { name: `new${i}`, services: { checkout: [app] } });
    }
    await control.send("DELETE", "/v1/sandboxes/old");
    await untilSameTable(control, sidecars);
    const callers = new Callers([], () => new Map());
    const [one] = sidecars as [SidecarProcess];
    expect(await callers.get(one, "new0")).toBe("app");
    await control.kill();
    // In place, as people do: the same files, the same lock.
    await run("cp", ["-a", `${backup}/.`, directory]);
    await control.start();
    for (const sidecar of sidecars) {
      await until("the restored table is in use", async () => (await callers.get(sidecar, "old")) === "app", 45_000);
      expect(await callers.get(sidecar, "new0")).toBe("baseline");
    }
    // And what is written then, up to revisions that there were before.
    for (let i = 0; i < 8; i++) {
      await control.send("POST", "/v1/sandboxes", { name: `other${i}`, services: { checkout: [app] } });
    }
    await untilSameTable(control, sidecars);
    for (const sidecar of sidecars) {
      expect(await callers.get(sidecar, "other7")).toBe("app");
      expect(await callers.get(sidecar, "new0")).toBe("baseline");
      expect(await callers.get(sidecar, "old")).toBe("app");
    }
  }, 90_000);

  test("disks that are full: of the store, and of a sidecar's kept table", async () => {
    const disk = await folder();
    await run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", disk]).catch((error: unknown) => {
      throw new Error("tmpfs cannot be mounted here: this test needs root (CAP_SYS_ADMIN)", { cause: error });
    });
    onTestFinished(async () => void (await run("umount", ["-l", disk])));
    const control = await ReplicaProcess.start(`file:${join(disk, "store")}`);
    const [baseline, app] = [await startApp("baseline"), await startApp("app")];
    await control.send("POST", "/v1/services", { name: "checkout" });
    const keep = join(disk, "kept.json");
    const sidecar = await SidecarProcess.start({ control: control.feed, target: baseline, keep });
    const somebody = new Callers([sidecar], () => new Map([["a", ["app", "baseline"]]]));
    await control.send("POST", "/v1/sandboxes", { name: "a", services: { checkout: [app] } });
    await untilSameTable(control, [sidecar]);
    await writeFile(join(disk, "ballast"), Buffer.alloc(2 * 1024 * 1024)).catch(() => {});
    let refused = { status: 201, body: {} as Readonly<Record<string, unknown>> };
    for (let i = 0; i < 50 && refused.status === 201; i++) {
      refused = await control.ask("POST", "/v1/sandboxes", { name: `b${i}`, services: { checkout: [app] } });
    }
    expect(refused).toMatchObject({
      status: 503,
      body: { detail: expect.stringMatching(/cannot be written: ENOSPC/u) },
    });
    expect(await control.ask("GET", "/v1/sandboxes/a")).toMatchObject({ status: 200 });
    await untilSameTable(control, [sidecar]);
    expect(await somebody.get(sidecar, "a")).toBe("app");
    await rm(join(disk, "ballast"));
    await until(
      "writing works again",
      async () => {
        const answer = await control.ask("PUT", "/v1/sandboxes/after", { services: { checkout: [app] } });
        return answer.status < 300;
      },
      10_000,
    );
    await untilSameTable(control, [sidecar]);
    expect(await somebody.get(sidecar, "after")).toBe("app");
    await control.kill();
    await sidecar.kill();
    // Both start from what they have: the sidecar first, without its control plane.
    await sidecar.start();
    await until("the kept table is the last", async () => (await somebody.get(sidecar, "after")) === "app", 5000);
    await control.start();
    await untilSameTable(control, [sidecar]);
    await somebody.stop();
    expect(somebody.wrong.filter((text) => !text.includes("error"))).toEqual([]);
  }, 90_000);

  test("a backup put back while sidecars are away, and written to beyond the revision that they have", async () => {
    const directory = await folder();
    const backup = await folder();
    const control = await ReplicaProcess.start(`file:${directory}`);
    const via = await Forwarder.start(control.feed);
    const [baseline, app] = [await startApp("baseline"), await startApp("app")];
    await control.send("POST", "/v1/services", { name: "checkout" });
    await cp(directory, backup, { recursive: true });
    const sidecar = await SidecarProcess.start({ control: via.address, target: baseline });
    for (let i = 0; i < 3; i++) {
      await control.send("POST", "/v1/sandboxes", { name: `new${i}`, services: { checkout: [app] } });
    }
    await untilSameTable(control, [sidecar]);
    via.targets = ["127.0.0.1:1"];
    await control.kill();
    await run("cp", ["-a", `${backup}/.`, directory]);
    await control.start();
    for (let i = 0; i < 5; i++) {
      await control.send("POST", "/v1/sandboxes", { name: `later${i}`, services: { checkout: [app] } });
    }
    via.targets = [control.feed];
    await untilSameTable(control, [sidecar]);
    const callers = new Callers([], () => new Map());
    expect(await callers.get(sidecar, "later0")).toBe("app");
    expect(await callers.get(sidecar, "new0")).toBe("baseline");
  });
});

describe("etcd", () => {
  test("is down for a while, and then loses everything", async () => {
    const etcd = await startEtcd({ members: 3 });
    const store = `etcd://${etcd.endpoints}/sidelane`;
    const [a, b] = [await ReplicaProcess.start(store), await ReplicaProcess.start(store)];
    const [baseline, app] = [await startApp("baseline"), await startApp("app")];
    await a.send("POST", "/v1/services", { name: "checkout" });
    await a.send("POST", "/v1/sandboxes", { name: "old", services: { checkout: [app] } });
    const sidecars = [
      await SidecarProcess.start({ control: a.feed, target: baseline }),
      await SidecarProcess.start({ control: b.feed, target: baseline }),
    ];
    await untilSameTable(a, sidecars);
    const right = new Map<string, readonly string[]>([["old", ["app"]]]);
    const callers = new Callers(sidecars, () => right);
    for (const member of etcd.members) await member.kill();
    expect(await b.ask("DELETE", "/v1/sandboxes/old")).toMatchObject({ status: 503 });
    // A sidecar that is new gets its table all the same.
    const third = await SidecarProcess.start({ control: b.feed, target: baseline });
    expect(await callers.get(third, "old")).toBe("app");
    expect(await a.ask("GET", "/v1/sandboxes/old")).toMatchObject({ status: 200 });
    await Promise.all(etcd.members.map((member) => member.start()));
    await until(
      "it can be written",
      async () => (await b.ask("PUT", "/v1/sandboxes/new", { services: { checkout: [app] } })).status < 300,
    );
    const everybody = [...sidecars, third];
    await until("both know of it", async () => (await a.ask("GET", "/v1/sandboxes/new")).status === 200);
    expect(await a.wait("new", "ready")).toMatchObject({ data: { reached: true } });
    for (const one of everybody) expect(await callers.get(one, "new")).toBe("app");

    for (const member of etcd.members) await member.kill();
    await Promise.all(etcd.members.map((member) => member.forget()));
    right.set("old", ["app", "baseline"]);
    await Promise.all(etcd.members.map((member) => member.start()));
    for (const replica of [a, b]) {
      await until("it is noticed", async () => (await replica.ask("GET", "/v1/sandboxes/old")).status === 404);
    }
    await until("it can be written", async () => (await a.ask("PUT", "/v1/services/checkout", {})).status < 300);
    await b.send("POST", "/v1/sandboxes", { name: "later", services: { checkout: [app] } });
    expect(await a.wait("later", "ready")).toMatchObject({ data: { reached: true } });
    expect(await b.wait("later", "ready")).toMatchObject({ data: { reached: true } });
    await untilSameTable(a, everybody);
    for (const one of everybody) {
      expect(await callers.get(one, "later")).toBe("app");
      expect(await callers.get(one, "old")).toBe("baseline");
    }
    await callers.stop();
    expect(callers.wrong).toEqual([]);
  }, 90_000);
});
