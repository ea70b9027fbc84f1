// Long because the conditions of one sandbox are told from each other by one set of sidecars.

import { describe, expect, test } from "vitest";
import type { AnswerBody } from "../../feed/messages.ts";
import type { SidecarInfo } from "../feed/sidecars.ts";
import { sandboxResource, serviceResource } from "../fixture.ts";
import { ConditionLog } from "./condition-log.ts";
import { World, probed, sidecarInfo } from "./fixture.ts";

const pr7 = sandboxResource("pr-7", { services: { checkout: ["10.0.0.7:8080"] } });

function worldWith(...infos: readonly SidecarInfo[]): World {
  const world = new World();
  world.sidecars(...infos);
  world.put(serviceResource("checkout"), pr7);
  return world;
}

const last = <T>(list: readonly T[]): T | undefined => list.at(-1);

describe("ready", () => {
  test("when every sidecar has it and each service answers", async () => {
    const world = worldWith(sidecarInfo());
    expect(last(await world.wait("pr-7", "ready"))).toMatchObject({ kind: "done", reached: true });
    expect(world.asked).toEqual([
      {
        instance: "checkout-1",
        question: {
          kind: "probe",
          probe: { service: "checkout", port: "", key: "pr-7", protocol: "auto", path: "/" },
        },
      },
    ]);
    expect(world.conditions("pr-7")).toEqual({
      Ready: "true Ready: in use on every sidecar, and each of its services answers",
      Applied: "true Everywhere: every sidecar that it concerns has revision 2 in use",
      Answered: "true Answered: each of its services has answered a request",
    });
  });

  test("not before the last sidecar has acknowledged, which is named", async () => {
    const late = sidecarInfo({ appliedRevision: 1, wantedRevision: 2, instance: "checkout-2", host: "web-2" });
    const world = worldWith(sidecarInfo(), late);
    const events: string[] = [];
    for await (const event of world.readiness.wait("pr-7", "ready", 5000, new AbortController().signal)) {
      events.push(event.kind);
      const applied = event.status.conditions.find(({ type }) => type === "Applied");
      if (event.kind === "progress" && applied?.status === "false") {
        expect(applied.message).toBe("the sidecar of checkout on web-2 has not acknowledged revision 2 yet; it has 1");
        world.sidecars(sidecarInfo(), { ...late, appliedRevision: 2 });
      }
    }
    expect(events[0]).toBe("progress");
    expect(last(events)).toBe("done");
  });

  test("not while an endpoint does not answer, which is named; it is asked again until it does", async () => {
    const world = worldWith(sidecarInfo());
    let asked = 0;
    world.answer = () =>
      ++asked < 3 ? probed({ answered: false, detail: "10.0.0.7:8080: connect ECONNREFUSED" }) : probed();
    const events = await world.wait("pr-7", "ready");
    expect(last(events)).toMatchObject({ kind: "done", reached: true });
    expect(asked).toBe(3);
    const texts = events.flatMap(({ status }) => status.conditions.map(({ message }) => message));
    expect(texts).toContain(
      "checkout: 10.0.0.7:8080: connect ECONNREFUSED (asked through the sidecar of checkout on checkout-host)",
    );
  });

  test("the time is up: the last event says what is missing", async () => {
    const world = worldWith(sidecarInfo());
    world.answer = () => probed({ answered: false, detail: "10.0.0.7:8080: connect ECONNREFUSED" });
    expect(last(await world.wait("pr-7", "ready", 300))).toMatchObject({
      kind: "done",
      reached: false,
      message: expect.stringMatching(/^the sandbox pr-7 is not ready after 0 s: checkout: 10\.0\.0\.7:8080: connect/u),
    });
  });

  test("there is no sandbox of that name", async () => {
    const world = worldWith(sidecarInfo());
    expect(last(await world.wait("pr-8", "ready"))).toMatchObject({
      reached: false,
      message: "there is no sandbox pr-8",
    });
    expect(world.readiness.status("pr-8")).toBeUndefined();
  });

  test("made by another replica, of which this one hears a moment later", async () => {
    const world = new World();
    world.sidecars(sidecarInfo());
    const waiting = world.wait("pr-7", "ready");
    setImmediate(() => world.put(serviceResource("checkout"), pr7));
    expect(last(await waiting)).toMatchObject({ reached: true });
  });

  test("deleted while somebody waits", async () => {
    const world = worldWith(sidecarInfo({ appliedRevision: 1, wantedRevision: 2 }));
    const waiting = world.wait("pr-7", "ready");
    setImmediate(() => world.remove({ kind: "sandbox", name: "pr-7" }));
    expect(last(await waiting)).toMatchObject({ reached: false, message: "there is no sandbox pr-7 any more" });
  });

  test("who stops to wait hears nothing more", async () => {
    const world = worldWith();
    const stop = new AbortController();
    const events: string[] = [];
    for await (const { kind } of world.readiness.wait("pr-7", "ready", 60_000, stop.signal)) {
      events.push(kind);
      setImmediate(() => stop.abort());
    }
    expect(events).toEqual(["progress"]);
  });

  test("an answer serves everybody for a while, and one to an earlier version nobody", async () => {
    const world = worldWith(sidecarInfo());
    await Promise.all([world.wait("pr-7", "ready"), world.wait("pr-7", "ready")]);
    await world.wait("pr-7", "ready");
    expect(world.asked).toHaveLength(1);
    world.put(pr7);
    await world.wait("pr-7", "ready");
    expect(world.asked).toHaveLength(2);
  });
});

describe("who is behind", () => {
  test("one that refused the table says why", () => {
    const refusal = { error: "the table has problems", problems: ["sandboxes.pr-9: no such service"] };
    const world = worldWith(sidecarInfo({ appliedRevision: 1, wantedRevision: 2, ...refusal }));
    expect(world.conditions("pr-7")["Applied"]).toBe(
      "false Refused: the sidecar of checkout on checkout-host refused its newest table and goes on with revision 1 (the table has problems): sandboxes.pr-9: no such service",
    );
  });

  test("one whose connection broke without it, but not one that had it", () => {
    const since = new Date(Date.now() - 4500).toISOString();
    const gone = sidecarInfo({ connected: false, since, appliedRevision: 1, wantedRevision: 1 });
    const world = worldWith(gone, sidecarInfo({ instance: "checkout-2" }));
    expect(world.conditions("pr-7")["Applied"]).toContain("has been disconnected for 4 s, with revision 1");
    world.sidecars({ ...gone, appliedRevision: 2 }, sidecarInfo({ instance: "checkout-2" }));
    expect(world.conditions("pr-7")["Applied"]).toMatch(/^true/u);
  });

  test("nobody whom the change does not concern, and no supervisor", () => {
    const behind = { appliedRevision: 1, wantedRevision: 2 };
    const elsewhere = sidecarInfo({ service: "mail", scope: { services: ["mail"], names: false }, ...behind });
    const world = worldWith(sidecarInfo(), elsewhere, sidecarInfo({ instance: "s", routes: false, ...behind }));
    expect(world.conditions("pr-7")["Applied"]).toMatch(/^true/u);
    world.sidecars({ ...elsewhere, scope: { services: ["mail"], names: true } });
    expect(world.conditions("pr-7")["Applied"]).toContain("the sidecar of mail on mail-host has not acknowledged");
  });

  test("processes of which there is the same to say are counted", () => {
    const behind = sidecarInfo({ appliedRevision: 1, wantedRevision: 2 });
    const applied = worldWith(behind, { ...behind, instance: "checkout-2" }).conditions("pr-7")["Applied"];
    expect(applied).toBe(
      "false SidecarsBehind: the sidecar of checkout on checkout-host has not acknowledged revision 2 yet; it has 1 (2 processes)",
    );
  });

  test("of five thousand a few are looked at, for each of ten thousand sandboxes", () => {
    const infos = Array.from({ length: 5000 }, (_, n) =>
      sidecarInfo({ instance: `c-${n}`, host: `web-${n}`, appliedRevision: 0, wantedRevision: 2 }),
    );
    const world = worldWith(...infos);
    expect(world.conditions("pr-7")["Applied"]).toMatch(/on web-4 .*; and 4995 more$/u);
    const wanted = { revision: 2, services: ["checkout"], ageMs: 0 };
    expect(world.views.now().behind.late(2, wanted.services).first(20)).toHaveLength(20);
  });

  test("of very many the first are named", () => {
    const infos = Array.from({ length: 12 }, (_, n) =>
      sidecarInfo({ instance: `c-${n}`, host: `web-${n}`, appliedRevision: 1, wantedRevision: 2 }),
    );
    const applied = worldWith(...infos).conditions("pr-7")["Applied"] ?? "";
    expect(applied).toContain("web-4");
    expect(applied).not.toContain("web-5");
    expect(applied).toContain("; and 7 more");
  });
});

describe("who is asked", () => {
  test("nobody: then it is not ready, and what to do is said", async () => {
    const world = worldWith(sidecarInfo({ service: "mail", probes: false }));
    expect(world.conditions("pr-7")).toMatchObject({
      Ready: expect.stringMatching(
        /^false NoSidecar: checkout: no sidecar is connected by which it could be asked; start/u,
      ),
      Answered: expect.stringMatching(/^unknown NoSidecar/u),
    });
  });

  test("a sidecar of the service before those of its callers, none of a sandbox's own copy", async () => {
    const own = sidecarInfo();
    const world = worldWith(sidecarInfo({ service: "mail" }), sidecarInfo({ instance: "copy", sandbox: "pr-7" }), own);
    await world.wait("pr-7", "ready");
    expect(world.asked.map(({ instance }) => instance)).toEqual(["checkout-1"]);
    const without = worldWith(sidecarInfo({ service: "mail" }));
    await without.wait("pr-7", "ready");
    expect(without.asked.map(({ instance }) => instance)).toEqual(["mail-1"]);
  });

  test("another one when the first cannot say", async () => {
    const world = worldWith(sidecarInfo(), sidecarInfo({ instance: "checkout-2" }));
    world.answer = (instance): AnswerBody =>
      instance === "checkout-1" ? { kind: "error", error: "no listener" } : probed();
    expect(last(await world.wait("pr-7", "ready"))).toMatchObject({ reached: true });
  });

  test("none that lacks the table, which would not know the key", async () => {
    const world = worldWith(sidecarInfo({ appliedRevision: 1, wantedRevision: 2 }));
    await world.wait("pr-7", "ready", 50);
    expect(world.asked).toEqual([]);
    expect(world.conditions("pr-7")["Answered"]).toBe("unknown NotAskedYet: checkout: not asked yet");
  });

  test("each port of each service, as the service says; not those that are not to be asked", async () => {
    const world = new World();
    world.sidecars(sidecarInfo());
    world.put(
      serviceResource("checkout", { ports: { http: 80, grpc: 90 }, probe: { protocol: "http1", path: "/healthz" } }),
      serviceResource("mail", { probe: { protocol: "none", path: "/" } }),
      sandboxResource("pr-7", {
        key: "seven",
        services: { checkout: { http: ["10.0.0.7:80"], grpc: ["10.0.0.7:90"] }, mail: ["10.0.0.7:25"] },
      }),
    );
    expect(last(await world.wait("pr-7", "ready"))).toMatchObject({ reached: true });
    const probe = { service: "checkout", key: "seven", protocol: "http1", path: "/healthz" };
    expect(world.asked.map(({ question }) => question)).toEqual([
      { kind: "probe", probe: { ...probe, port: "http" } },
      { kind: "probe", probe: { ...probe, port: "grpc" } },
    ]);
  });

  test("a list of ten thousand asks a few, and no more while these have not answered", () => {
    const world = new World();
    world.sidecars(sidecarInfo());
    world.answer = () => new Promise<AnswerBody>(() => {});
    const names = Array.from({ length: 10_000 }, (_, n) => `pr-${n}`);
    world.put(...names.map((name) => sandboxResource(name, { services: { checkout: ["10.0.0.7:80"] } })));
    for (const name of names) world.readiness.status(name);
    expect(world.asked).toHaveLength(32);
  });

  test("the first look waits for what it has asked", async () => {
    const world = worldWith(sidecarInfo());
    const status = await world.readiness.statusSoon("pr-7", 1000);
    expect(status?.conditions.find(({ type }) => type === "Ready")?.status).toBe("true");
  });
});

describe("several replicas", () => {
  const there = (more: object = {}) => ({
    replica: "r-2",
    answer: { revision: 2, sidecars: [sidecarInfo({ replica: "r-2", instance: "there", host: "web-9", ...more })] },
  });

  test("a sidecar elsewhere counts, and can be asked", async () => {
    const world = new World();
    world.others.set("r-2", there({ appliedRevision: 1, wantedRevision: 2 }));
    world.put(serviceResource("checkout"), pr7);
    const behind = await world.wait("pr-7", "ready", 100);
    expect(last(behind)).toMatchObject({ reached: false, message: expect.stringContaining("on web-9 has not") });
    world.others.set("r-2", there());
    expect(last(await world.wait("pr-7", "ready"))).toMatchObject({ reached: true });
    expect(world.asked.map(({ instance }) => instance)).toEqual(["r-2/there"]);
  });

  test("one that does not answer makes it unknown, and is named", async () => {
    const world = worldWith(sidecarInfo());
    world.others.set("r-2", { replica: "r-2", why: "connection refused" });
    const events = await world.wait("pr-7", "ready", 300);
    expect(last(events)).toMatchObject({ reached: false });
    expect(world.conditions("pr-7")["Applied"]).toBe(
      "unknown ReplicaSilent: the control replica r-2 cannot be asked about its sidecars: connection refused",
    );
  });

  test("one that has not heard of it is behind, whatever its sidecars have", async () => {
    const world = worldWith(sidecarInfo());
    world.others.set("r-2", { replica: "r-2", answer: { revision: 1, sidecars: [] } });
    await world.wait("pr-7", "ready", 100);
    expect(world.conditions("pr-7")["Applied"]).toBe(
      "false SidecarsBehind: the control replica r-2 has not heard of revision 2 yet; it is at 1",
    );
  });

  test("a sidecar that has moved is looked at where it is", async () => {
    const left = sidecarInfo({ instance: "there", connected: false, appliedRevision: 1 });
    const world = worldWith(left);
    world.others.set("r-2", there());
    expect(last(await world.wait("pr-7", "ready"))).toMatchObject({ reached: true });
  });

  test("another version is taken for silent", async () => {
    const world = worldWith(sidecarInfo());
    world.others.set("r-2", { replica: "r-2", answer: ["?"] });
    await world.wait("pr-7", "ready", 100);
    expect(world.conditions("pr-7")["Applied"]).toContain("something else than its sidecars");
  });
});

describe("deleted", () => {
  test("when it is gone everywhere and nothing of it runs", async () => {
    const world = worldWith(sidecarInfo());
    world.remove({ kind: "sandbox", name: "pr-7" });
    world.sidecars(sidecarInfo({ appliedRevision: 2, wantedRevision: 3 }));
    const steps = [
      () => world.sidecars(sidecarInfo({ busy: [{ sandbox: "pr-7", exchanges: 2 }] })),
      () => world.sidecars(sidecarInfo({ busy: [{ sandbox: "pr-7", exchanges: 1 }] })),
      () => world.sidecars(sidecarInfo({ busy: [{ sandbox: "pr-8", exchanges: 1 }] })),
    ];
    const told: string[] = [];
    for await (const event of world.readiness.wait("pr-7", "deleted", 5000, new AbortController().signal)) {
      const missing = event.status.conditions.filter(({ status }) => status !== "true");
      told.push(event.kind === "done" ? `${event.reached}` : missing.map(({ message }) => message).join("; "));
      steps.shift()?.();
    }
    expect(told).toEqual([
      "the sidecar of checkout on checkout-host has not acknowledged revision 3 yet; it has 2",
      "2 exchanges are still running at the sidecar of checkout on checkout-host",
      "1 exchange is still running at the sidecar of checkout on checkout-host",
      "true",
    ]);
  });

  test("at once when there never was one", async () => {
    const world = worldWith(sidecarInfo());
    expect(await world.wait("pr-8", "deleted")).toEqual([expect.objectContaining({ kind: "done", reached: true })]);
  });

  test("not while it is still there", async () => {
    const world = worldWith(sidecarInfo());
    expect(last(await world.wait("pr-7", "deleted", 50))).toMatchObject({
      reached: false,
      message: "the sandbox pr-7 is not deleted after 0 s: the sandbox pr-7 has not been deleted",
    });
  });

  test("not while exchanges ran at a sidecar whose connection broke, or of more sandboxes than are known by name", async () => {
    const world = worldWith(sidecarInfo());
    world.remove({ kind: "sandbox", name: "pr-7" });
    world.sidecars(sidecarInfo({ connected: false, busy: [{ sandbox: "pr-7", exchanges: 2 }] }));
    expect(last(await world.wait("pr-7", "deleted", 50))).toMatchObject({
      reached: false,
      message: expect.stringContaining("2 exchanges were running at the sidecar of checkout on checkout-host when its"),
    });
    world.sidecars(sidecarInfo({ busy: [{ sandbox: "", exchanges: 9 }] }));
    expect(last(await world.wait("pr-7", "deleted", 50))).toMatchObject({
      reached: false,
      message: expect.stringContaining("this may be one of them"),
    });
  });

  test("not while another replica does not say what its sidecars have, nor before it was asked", async () => {
    const world = worldWith(sidecarInfo());
    world.others.set("r-2", { replica: "r-2", why: "no answer in time" });
    world.remove({ kind: "sandbox", name: "pr-7" });
    const events = await world.wait("pr-7", "deleted", 100);
    expect(last(events)).toMatchObject({ reached: false, message: expect.stringContaining("r-2") });
    world.others.set("r-2", { replica: "r-2", answer: { revision: world.state.revision, sidecars: [] } });
    expect(last(await world.wait("pr-7", "deleted", 5000))).toMatchObject({ reached: true });
  });

  test("later changes do not keep it: only the revision that removed it counts", async () => {
    const world = worldWith(sidecarInfo());
    world.remove({ kind: "sandbox", name: "pr-7" });
    world.put(sandboxResource("pr-9", { services: { checkout: ["10.0.0.9:80"] } }));
    world.sidecars(sidecarInfo({ appliedRevision: 3, wantedRevision: 4 }));
    expect(last(await world.wait("pr-7", "deleted", 1000))).toMatchObject({ reached: true });
  });
});

describe("further conditions", () => {
  test("a machine that is connected, and one whose replica is gone", () => {
    const world = worldWith(sidecarInfo());
    const machine = (replica: string) => ({
      checkout: {
        endpoints: ["control:16000"],
        session: "s",
        replica,
        by: "ada",
        machine: "laptop",
        since: "2026-01-02T03:04:05.000Z",
      },
    });
    world.put(sandboxResource("pr-7", { connected: machine("r-1") }));
    expect(world.conditions("pr-7")["Connected"]).toBe(
      "true MachineConnected: requests of pr-7 reach developers' machines: checkout: laptop of ada",
    );
    world.put(sandboxResource("pr-7", { connected: machine("r-9") }));
    expect(world.conditions("pr-7")["Connected"]).toMatch(/^false ReplicaGone: .* whose control replica r-9 is gone$/u);
  });

  test("when it expires, and since when that is near; when it last had traffic", () => {
    const world = worldWith(sidecarInfo());
    world.expiry = { expiresAt: new Date("2026-12-01T00:00:00Z"), warned: false };
    expect(world.readiness.status("pr-7")).toMatchObject({ expiresAt: "2026-12-01T00:00:00.000Z" });
    expect(world.conditions("pr-7")).not.toHaveProperty("Expiring");
    world.expiry = { ...world.expiry, warned: true };
    world.traffic = new Date("2026-11-30T00:00:00Z");
    expect(world.conditions("pr-7")["Expiring"]).toMatch(/^true TtlNearlyOver: it is deleted at 2026-12-01/u);
    expect(world.readiness.status("pr-7")).toMatchObject({ lastTrafficAt: "2026-11-30T00:00:00.000Z" });
  });

  test("since when a status is what it is does not move while it stays", () => {
    let second = 0;
    const log = new ConditionLog(() => new Date(Date.UTC(2026, 0, 1, 0, 0, second++)));
    const sinceOf = (status: "true" | "false", message: string): string | undefined =>
      log.note("pr-7", [{ type: "Applied", status, reason: "R", message }])[0]?.since;
    const since = sinceOf("false", "for 1 s");
    expect(since).toBe("2026-01-01T00:00:00.000Z");
    expect(sinceOf("false", "for 2 s")).toBe(since);
    expect(sinceOf("true", "")).not.toBe(since);
  });
});
