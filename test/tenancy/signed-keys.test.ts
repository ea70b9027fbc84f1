// Keys from the world that somebody has to have signed: what counts, what does not and why, and that the token stays outside.
import { createHmac } from "node:crypto";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { signKey } from "../../src/protocol/signed-key/sign-key.ts";
import type { SigningKey } from "../../src/protocol/signed-key/signing-key.ts";
import { forge, keyOf, makePair } from "../../src/protocol/signed-key/testing.ts";
import { eventually } from "../support/quiet.ts";
import {
  type Ask,
  type Reply,
  type Version,
  type World,
  type WorldOptions,
  describeVersions,
  startWorld,
  valuesOf,
} from "./world.ts";

const SECRET = "0123456789abcdef0123456789abcdef";
const OTHER_SECRET = "fedcba9876543210fedcba9876543210";
const pair = makePair();
const hmac = keyOf("k1", "hmac", SECRET);
const ed25519 = keyOf("k2", "ed25519", pair.privateKey);

const inHours = (hours: number): number => Math.floor(Date.now() / 1000) + hours * 3600;
const tokenOf = (by: SigningKey, key = "pr-7", hours = 1): string =>
  signKey({ key, expiresAtSeconds: inHours(hours), by });

const carriers = [{ baggage: "sidelane" }, { header: "x-sandbox" }, { query: "sidelane" }, { cookie: "sidelane" }];
const edgeCarriers = [
  { query: "sidelane", remember: "sidelane" },
  { cookie: "sidelane" },
  { header: "x-preview" },
  { baggage: "preview" },
  { tracestate: "preview" },
];

interface Edge extends World {
  readonly folder: string;
}

async function startSigned(
  version: Version,
  edge: object = {},
  tenancy: object = {},
  options: WorldOptions = {},
): Promise<Edge> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-keys-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "k1"), SECRET);
  await writeFile(join(folder, "k2"), pair.publicKey);
  const signedBy = [
    { id: "k1", algorithm: "hmac", file: join(folder, "k1") },
    { id: "k2", algorithm: "ed25519", file: join(folder, "k2") },
  ];
  const world = await startWorld(version, {
    inbound: { edge: true },
    tenancy: { carriers, ...tenancy, edge: { carriers: edgeCarriers, signedBy, ...edge } },
    ...options,
  });
  return { ...world, folder };
}

/** As an attacker would make it who hopes that the verifier believes the token's own `alg`. */
function signedWithPublicKey(): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const header = part({ alg: "HS256", typ: "sidelane+jwt", kid: "k2" });
  const signed = `${header}.${part({ sub: "pr-7", exp: inHours(1) })}`;
  return `${signed}.${createHmac("sha256", pair.publicKey).update(signed).digest("base64url")}`;
}

/** Whoever gets the request finds the key in it and no token. */
function expectCounts({ arrived, reason }: Reply, token: string, who = "pr-7"): void {
  expect({ reason, who: arrived?.who }).toEqual({ reason: "", who });
  expect(valuesOf(arrived?.fields ?? [], "baggage").join(",")).toContain(`sidelane=${who}`);
  expect(JSON.stringify(arrived)).not.toContain(token.slice(0, 20));
  expect(JSON.stringify(arrived)).not.toContain(token.slice(-20));
}

function expectRejected({ arrived, status, grpcStatus, reason, detail }: Reply, { name }: Version, why: RegExp): void {
  expect(arrived).toBeUndefined();
  expect({ status, grpcStatus, reason }).toEqual(
    name === "gRPC"
      ? { status: 200, grpcStatus: 7, reason: "key-rejected" }
      : { status: 403, grpcStatus: -1, reason: "key-rejected" },
  );
  expect(detail).toMatch(why);
}

const places: readonly (readonly [name: string, ask: (token: string) => Ask])[] = [
  ["query", (token) => ({ target: `/a?x=1&sidelane=${token}` })],
  ["cookie", (token) => ({ fields: [["cookie", `a=1; sidelane=${token}`]] })],
  ["header", (token) => ({ fields: [["X-Preview", token]] })],
  ["baggage", (token) => ({ fields: [["baggage", `user=ada,preview=${token};p=1`]] })],
  ["tracestate", (token) => ({ fields: [["tracestate", `a=1,preview=${token}`]] })],
];

describeVersions("a signed key", (version) => {
  test.each(places)("in %s counts, and goes on as a plain one", async (_, ask) => {
    const world = await startSigned(version);
    for (const token of [tokenOf(hmac), tokenOf(ed25519)]) expectCounts(await world.ask(ask(token)), token);
    const unknown = tokenOf(hmac, "pr-99");
    const reply = await world.ask(ask(unknown));
    expect(reply.arrived?.who).toBe("app");
    expect(JSON.stringify(reply.arrived)).not.toContain(unknown.slice(-20));
  });

  test("in every place at once leaves nothing of itself", async () => {
    const world = await startSigned(version);
    const token = tokenOf(ed25519);
    const asks = places.map(([, ask]) => ask(token));
    const reply = await world.ask({
      target: `/?sidelane=${token}&sidelane=${token}`,
      fields: asks.flatMap(({ fields = [] }) => [...fields, ...fields]),
    });
    expectCounts(reply, token);
  });

  test("in a query is in no line of the access log, whether it counts or not", async () => {
    const world = await startSigned(version, {}, {}, { accessLog: true });
    for (const token of [tokenOf(hmac), tokenOf(hmac, "pr-7", -1)])
      await world.ask({ target: `/a?x=1&sidelane=${token}` });
    await world.ask({ target: `/b?sidelane=${tokenOf(hmac)}`, fields: [["cookie", `sidelane=${tokenOf(hmac)}`]] });
    const lines = await world.sidecar.logLines();
    expect(lines.map(({ path, key, status }) => [path, key, status])).toEqual([
      ["/a?", "pr-7", 200],
      ["/a?", "", version.name === "gRPC" ? 200 : 403],
      ["/b?", "pr-7", 200],
    ]);
  });

  test("is remembered as it was signed, until it expires", async () => {
    const world = await startSigned(version);
    const token = tokenOf(hmac);
    const first = await world.ask({ target: `/?sidelane=${token}` });
    const [cookie = "", ...attributes] = (valuesOf(first.fields, "set-cookie")[0] ?? "").split("; ");
    expect(cookie).toBe(`sidelane=${token}`);
    expect(attributes.slice(0, 3)).toEqual(["Path=/", "HttpOnly", "SameSite=Lax"]);
    const expires = Date.parse((attributes[3] ?? "").replace("Expires=", ""));
    expect(expires / 1000 - inHours(1)).toBeLessThanOrEqual(0);
    expect(expires / 1000 - inHours(1)).toBeGreaterThan(-120);
    expectCounts(await world.ask({ fields: [["cookie", cookie]] }), token);
  });

  const claims = { sub: "pr-7", exp: inHours(1) };
  const header = { alg: "HS256", typ: "sidelane+jwt", kid: "k1" };
  test.each([
    ["nobody signed", "pr-7", /signed key is damaged/],
    ["is expired", tokenOf(hmac, "pr-7", -1), /expired on/],
    ["is expired, with Ed25519", tokenOf(ed25519, "pr-7", -1), /expired on/],
    ["somebody else signed", tokenOf(keyOf("k1", "hmac", OTHER_SECRET)), /signature is not one of k1/],
    ["names another signer", tokenOf(keyOf("k3", "hmac", SECRET)), /k3 that is not accepted here/],
    ["names the wrong signer", tokenOf(keyOf("k2", "hmac", SECRET)), /signature is not one of k2/],
    ["is not signed at all", forge({ ...header, alg: "none" }, claims, hmac).replace(/[^.]*$/, ""), /./],
    ["takes the public key for a secret", signedWithPublicKey(), /k2/],
    ["was changed", `${tokenOf(hmac).slice(0, -2)}AA`, /signature|damaged/],
    ["is restricted to others", forge(header, { ...claims, aud: "x" }, hmac), /restricted/],
  ])("that %s is refused, and says why", async (_, token, why) => {
    const world = await startSigned(version);
    for (const [, ask] of places) expectRejected(await world.ask(ask(token)), version, why);
  });

  test("is not needed for no key, and without one other carriers do not count", async () => {
    const world = await startSigned(version);
    expect((await world.ask()).arrived).toMatchObject({ who: "app", fields: [] });
    expect(
      (
        await world.ask({
          fields: [
            ["x-sandbox", "pr-7"],
            ["baggage", "sidelane=pr-7"],
          ],
        })
      ).arrived,
    ).toMatchObject({
      who: "app",
      fields: [],
    });
  });

  test("follows its file while the sidecar runs", async () => {
    const world = await startSigned(version);
    const before = tokenOf(hmac);
    const after = tokenOf(keyOf("k1", "hmac", OTHER_SECRET));
    expectCounts(await world.ask({ target: `/?sidelane=${before}` }), before);
    expectRejected(await world.ask({ target: `/?sidelane=${after}` }), version, /signature/);
    await writeFile(join(world.folder, "k1.new"), OTHER_SECRET);
    await rename(join(world.folder, "k1.new"), join(world.folder, "k1"));
    await eventually(async () => (await world.ask({ target: `/?sidelane=${after}` })).reason === "");
    expectCounts(await world.ask({ target: `/?sidelane=${after}` }), after);
    expectRejected(await world.ask({ target: `/?sidelane=${before}` }), version, /signature/);
    const other = tokenOf(ed25519);
    expectCounts(await world.ask({ target: `/?sidelane=${other}` }), other);

    // One that cannot be used changes nothing, and is told of.
    await writeFile(join(world.folder, "k1.new"), "short");
    await rename(join(world.folder, "k1.new"), join(world.folder, "k1"));
    const error = expect.stringContaining("32") as string;
    const keys = [
      { id: "k1", algorithm: "hmac", error },
      { id: "k2", algorithm: "ed25519" },
    ];
    await eventually(async () => JSON.stringify(world.sidecar.proxy.connections()).includes("error"));
    expect(world.sidecar.proxy.connections()).toMatchObject({ signingKeys: keys });
    expectCounts(await world.ask({ target: `/?sidelane=${after}` }), after);
  });

  test("of a trusted caller counts as well, and stays outside, too", async () => {
    const world = await startSigned(version, { callers: ["127.0.0.1"] });
    const token = tokenOf(hmac);
    expectCounts(await world.ask({ fields: [["x-preview", token]] }), token);
    // A place in which trusted callers may put a plain key.
    expectCounts(await world.ask({ target: `/?sidelane=${token}` }), token);
    expectCounts(await world.ask({ target: "/?sidelane=pr-8" }), "-".repeat(40), "pr-8");
    expect((await world.ask({ target: "/?sidelane=pr-99" })).arrived?.who).toBe("app");
  });

  test("that is refused says nothing about its trace", async () => {
    const world = await startSigned(version, {}, { repair: "restore" });
    const traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const token = tokenOf(hmac, "pr-7", -1);
    await world.ask({ target: `/?sidelane=${token}`, fields: [["traceparent", traceparent]] });
    const { arrived } = await world.ask({ listener: "outbound", fields: [["traceparent", traceparent]] });
    expect(arrived).toMatchObject({ who: "baseline", fields: [["traceparent", traceparent]] });
    expect(world.sidecar.telemetry.lostKeys?.describe().lost).toEqual([]);
  });
});
