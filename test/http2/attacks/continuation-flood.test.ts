// Attack: CONTINUATION flood (CVE-2024-27316 and its siblings). A head that never gets its END_HEADERS: a server that
// collects the parts, or only counts those that it decodes, runs out of memory, or works for ever for one frame head
// after the other.
import { expect, test } from "vitest";
import { frame, types } from "../../support/http2-frames.ts";
import { literal, writeBlock } from "../../support/http2-hpack.ts";
import { get } from "../../support/http2-sidecar.ts";
import {
  expectCalmed,
  expectEndpointCalmed,
  flood,
  startEndpointSiege,
  startSiege,
} from "../../support/http2-siege.ts";
import { memoryGrowth } from "../../support/quiet.ts";

test.each([
  ["with many small fields", literal(["x-field", "value"]), "continuation"],
  ["of one byte each", Buffer.of(0), "continuation"],
])("%s: more than limits.http2ContinuationsMax frames end the connection", async (_, part, kind) => {
  const siege = await startSiege();
  const { attacker } = siege;
  attacker.send(frame(types.headers, 0, 1, writeBlock(get())));
  await flood(attacker, 10_000, () => attacker.send(frame(types.continuation, 0, 1, part)));
  await expectCalmed(siege, kind);
});

test("of full frames: the size of the head ends it, and nothing is kept", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  const growth = memoryGrowth();
  attacker.send(frame(types.headers, 0, 1, writeBlock(get())));
  const part = literal(["x-field", "v".repeat(16_000)]);
  await flood(attacker, 2000, () => attacker.send(frame(types.continuation, 0, 1, part)));
  expect((await attacker.goneAway()).code).toBe(11);
  expect(growth()).toBeLessThan(16 * 1024 * 1024);
  await siege.neighbour.stop();
});

test("without bytes: the empty frames end it", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  attacker.send(frame(types.headers, 0, 1, writeBlock(get())));
  await flood(attacker, 10_000, () => attacker.send(frame(types.continuation, 0, 1)));
  expect((await attacker.goneAway()).code).toBe(11);
  await siege.neighbour.stop();
});

test("from an endpoint", async () => {
  const siege = await startEndpointSiege();
  const { hostile, got } = siege;
  hostile.send(frame(types.headers, 0, got.id, writeBlock([[":status", "200"]])));
  await flood(hostile, 10_000, () => hostile.send(frame(types.continuation, 0, got.id, literal(["x-field", "value"]))));
  await expectEndpointCalmed(siege, "continuation");
});
