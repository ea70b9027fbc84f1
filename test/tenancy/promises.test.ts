// What the documentation promises in a subordinate clause: each test fails when the one line that keeps the promise is missing.
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { signKey } from "../../src/protocol/signed-key/sign-key.ts";
import { keyOf } from "../../src/protocol/signed-key/testing.ts";
import { startCollector } from "../support/otlp-collector.ts";
import { type Field, type Version, type World, describeVersions, http1, startWorld, valuesOf } from "./world.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const traceparentOf = (trace: string): Field => ["traceparent", `00-${trace}-00f067aa0ba902b7-01`];
const A = "4bf92f3577b34da6a3ce929d0e0e4736";
const B = "5cf92f3577b34da6a3ce929d0e0e4737";
const KEYED: Field = ["baggage", "sidelane=pr-7"];

const tokenOf = (seconds: number): string =>
  signKey({
    key: "pr-7",
    expiresAtSeconds: Math.floor(Date.now() / 1000) + seconds,
    by: keyOf("k1", "hmac", SECRET),
  });

async function startSigned(version: Version, edge: object = {}): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-keys-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "k1"), SECRET);
  const carriers = [{ baggage: "sidelane" }, { query: "sidelane" }];
  const signedBy = [{ id: "k1", algorithm: "hmac", file: join(folder, "k1") }];
  return startWorld(version, {
    inbound: { edge: true },
    tenancy: { carriers, edge: { carriers: [{ query: "sidelane" }, { cookie: "sidelane" }], signedBy, ...edge } },
  });
}

describeVersions("at the edge", (version) => {
  test("a token that does not count is no plain key, whoever brings it", async () => {
    const world = await startSigned(version, { callers: ["127.0.0.1"] });
    const { reason, arrived } = await world.ask({ target: `/?sidelane=${tokenOf(-60)}` });
    expect({ reason, arrived }).toEqual({ reason: "key-rejected", arrived: undefined });
  });

  test("a cookie whose token does not count is taken back", async () => {
    const world = await startSigned(version);
    const { reason, fields } = await world.ask({ fields: [["cookie", `sidelane=${tokenOf(-60)}`]] });
    expect({ reason, cookies: valuesOf(fields, "set-cookie") }).toEqual({
      reason: "key-rejected",
      cookies: ["sidelane=; Path=/; Max-Age=0"],
    });
  });

  test("tokens do not stand in the journal", async () => {
    const world = await startSigned(version);
    const tokens = [tokenOf(60), tokenOf(-60)];
    for (const token of tokens) await world.ask({ target: `/a?x=1&sidelane=${token}` });
    const entries = world.sidecar.telemetry.journal?.read({ limit: 10 }) ?? [];
    expect(entries.map(({ key }) => key)).toEqual(["", "pr-7"]);
    for (const token of tokens) expect(JSON.stringify(entries)).not.toContain(token.slice(-20));
  });
});

describeVersions("of one request", (version) => {
  test("what one request requires is not required of the next, which has no key", async () => {
    const world = await startWorld(version, { tenancy: { repair: "report" } });
    for (const listener of ["inbound", "outbound"]) {
      const fields: readonly Field[] = [["baggage", "sidelane=pr-99;require=checkout"]];
      expect((await world.ask({ listener, fields })).reason).toBe("expectation-failed");
      expect((await world.ask({ listener })).reason).toBe("");
    }
  });

  test("with spans, the journal knows a request by the span that the next sidecar hears of", async () => {
    const { endpoint } = await startCollector();
    const world = await startWorld(version, { spans: { endpoint } });
    const { arrived } = await world.ask({ listener: "outbound", fields: [KEYED, traceparentOf(A)] });
    const [sent = ""] = valuesOf(arrived?.fields ?? [], "traceparent");
    const [entry] = world.sidecar.telemetry.journal?.read({ limit: 10 }) ?? [];
    expect(entry).toMatchObject({ trace: A, span: sent.split("-")[2] });
    expect(entry?.span).not.toBe("00f067aa0ba902b7");
  });
});

describeVersions("`repair: restore` leaves alone", (version) => {
  const start = () => startWorld(version, { tenancy: { repair: "restore" } });
  const lostIn = (world: World) => world.sidecar.telemetry.lostKeys?.describe().lost;

  test("a trace that also came in without a key", async () => {
    const world = await start();
    await world.ask({ fields: [KEYED, traceparentOf(A)] });
    await world.ask({ fields: [traceparentOf(A)] });
    const { arrived } = await world.ask({ listener: "outbound", fields: [traceparentOf(A)] });
    expect(arrived).toMatchObject({ who: "baseline", fields: [traceparentOf(A)] });
    expect(lostIn(world)).toMatchObject([{ count: 1, restored: 0, unsure: 1 }]);
  });

  test("a request one of whose traces is known to be without a key", async () => {
    const world = await start();
    await world.ask({ fields: [KEYED, ["b3", `${A}-00f067aa0ba902b7-1`]] });
    await world.ask({ fields: [traceparentOf(B)] });
    const fields: readonly Field[] = [traceparentOf(B), ["b3", `${A}-00f067aa0ba902b7-1`]];
    expect((await world.ask({ listener: "outbound", fields })).arrived).toMatchObject({ who: "baseline", fields });
    expect(lostIn(world)).toEqual([]);
  });

  test("a request of another trace with the same request id", async () => {
    const world = await start();
    await world.ask({ fields: [KEYED, ["x-request-id", "1"]] });
    const fields: readonly Field[] = [traceparentOf(B), ["x-request-id", "1"]];
    expect((await world.ask({ listener: "outbound", fields })).arrived).toMatchObject({ who: "baseline", fields });
    expect(lostIn(world)).toEqual([]);
  });
});

test("no name in the journal is longer than names can be", async () => {
  const world = await startWorld(http1);
  await world.ask({ listener: "outbound", host: `${"h".repeat(400)}.invalid`, fields: [KEYED] });
  const [entry] = world.sidecar.telemetry.journal?.read({ limit: 10 }) ?? [];
  expect(entry?.service).toBe("h".repeat(255));
});
