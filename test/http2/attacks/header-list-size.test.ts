// Attack: heads that are as large as they like. The size that counts is that of the decoded list, 32 octets a field
// included (RFC 9113 §6.5.2, §10.5.1): a frame of small literals is four times as large decoded as it was on the wire.
import { expect, test } from "vitest";
import { codes, settingIds } from "../../support/http2-frames.ts";
import { type SentField, indexed, writeBlock } from "../../support/http2-hpack.ts";
import { get, post } from "../../support/http2-sidecar.ts";
import { expectCalmed, flood, startEndpointSiege, startSiege } from "../../support/http2-siege.ts";

const limits = { headBytesMax: 2048, headerCountMax: 20 };
const many: SentField[] = Array.from({ length: 30 }, (_, n) => [`x-${n}`, ""]);

test.each([
  ["one large value", [["x-large", "x".repeat(3000)]]],
  ["one large name", [["x".repeat(3000), ""]]],
  ["many fields", many],
] as [string, SentField[]][])("%s: 431, and the connection stays", async (_, fields) => {
  const { attacker, neighbour } = await startSiege({ limits });
  await attacker.settled();
  expect(attacker.settings.get(settingIds.maxHeaderListSize)).toBe(2048);
  for (const options of [{ endStream: true }, { endStream: true, splitBytes: 400 }]) {
    const refused = await attacker.request(get("/", ...fields), options).over();
    expect(refused.heads[0]?.status).toBe(431);
    expect(JSON.parse(refused.body)).toMatchObject({ reason: "head-too-large", status: 431 });
  }
  expect((await attacker.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});

test("small on the wire, large when decoded", async () => {
  const { attacker, neighbour } = await startSiege({ limits: { headBytesMax: 2048, headerCountMax: 2000 } });
  // 100 octets, each a static entry of 60 and more (RFC 7541 Appendix A).
  const block = Buffer.concat([writeBlock(get()), ...Array.from({ length: 100 }, () => indexed(16))]);
  const refused = attacker.stream(attacker.nextId);
  attacker.block(attacker.nextId, block, { endStream: true });
  attacker.nextId += 2;
  expect((await refused.over()).heads[0]?.status).toBe(431);
  await neighbour.stop();
});

test("trailers: the stream is reset, the connection stays", async () => {
  const { attacker, neighbour } = await startSiege({ limits });
  const stream = attacker.request(post(), {});
  stream.data("x").head([["x-large", "x".repeat(3000)]], { endStream: true });
  await stream.over();
  expect(stream.heads[0]?.status ?? 431).not.toBe(502);
  expect((await attacker.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});

test("a URI that is too long: 414", async () => {
  const { attacker, neighbour } = await startSiege({ limits: { uriBytesMax: 256 } });
  const refused = await attacker.request(get(`/${"a".repeat(300)}`)).over();
  expect(refused.heads[0]?.status).toBe(414);
  await neighbour.stop();
});

test("megabytes in one field: refused before they are there", async () => {
  const siege = await startSiege({ limits });
  const { attacker } = siege;
  attacker.acknowledges = true;
  await flood(attacker, 40, () => {
    attacker.request(get("/", ["x-large", "x".repeat(200_000)]));
  });
  const gone = await attacker.until(
    () => attacker.goaways[0] ?? (attacker.ending === undefined ? undefined : { code: -1 }),
  );
  expect([codes.enhanceYourCalm, -1]).toContain(gone.code);
  await siege.neighbour.stop();
});

test("again and again: it is abuse", async () => {
  const siege = await startSiege({ limits: { ...limits, http2ResetBurst: 20, http2ResetsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 1000, () => attacker.request(get("/", ["x-large", "x".repeat(3000)]), { endStream: false }));
  await expectCalmed(siege, "header-list");
});

test("from an endpoint: 502, and its connection stays", async () => {
  const { hostile, got, asked, client, neighbour } = await startEndpointSiege({ limits });
  got.head([
    [":status", "200"],
    ["x-large", "x".repeat(3000)],
  ]);
  await asked.over();
  expect(asked.heads[0]?.status).toBe(502);
  expect(JSON.parse(asked.body)).toMatchObject({ reason: "upstream-head-too-large" });
  await hostile.settled();
  expect(hostile.goaways).toEqual([]);
  expect((await client.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});
