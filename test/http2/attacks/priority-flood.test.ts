// Attack: PRIORITY flood (CVE-2019-9513 "resource loop"). Priorities have no meaning any more (RFC 9113 §5.3.2), but
// each frame has to be read; a server that still keeps the tree of dependencies works it over for each of them.
import { expect, test } from "vitest";
import { frame, priorityPayload, types } from "../../support/http2-frames.ts";
import {
  expectCalmed,
  expectEndpointCalmed,
  flood,
  startEndpointSiege,
  startSiege,
} from "../../support/http2-siege.ts";

test("PRIORITY frames for ever new idle streams", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 200, http2ControlsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 10_000, (n) => attacker.send(frame(types.priority, 0, 2 * n + 1, priorityPayload(0, n % 256))));
  await expectCalmed(siege, "control");
  // None of these streams has ever been opened.
  expect(attacker.goaways.at(-1)?.lastId).toBe(0);
});

test("frames of unknown types, which are ignored one by one", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 200, http2ControlsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 10_000, (n) => attacker.send(frame(0x20 + (n % 100), 0, 0, Buffer.alloc(n % 10))));
  await expectCalmed(siege, "control");
});

test("from an endpoint", async () => {
  const siege = await startEndpointSiege({ limits: { http2ControlBurst: 200, http2ControlsPerSecond: 1 } });
  const { hostile } = siege;
  await flood(hostile, 10_000, () => hostile.send(frame(0x77, 0, 0)));
  await expectEndpointCalmed(siege, "control");
});
