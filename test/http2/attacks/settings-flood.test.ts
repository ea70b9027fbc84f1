// Attack: SETTINGS flood (CVE-2019-9515). Each frame costs its sender nine bytes and has to be acknowledged; with a
// client that does not read, the acknowledgements pile up.
import { expect, test } from "vitest";
import { settingsFrame } from "../../support/http2-frames.ts";
import {
  expectCalmed,
  expectEndpointCalmed,
  expectTolerated,
  flood,
  startEndpointSiege,
  startSiege,
} from "../../support/http2-siege.ts";

test("more than limits.http2ControlBurst end the connection", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 100, http2ControlsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 5000, () => attacker.send(settingsFrame()));
  await expectCalmed(siege, "control");
  // Those that were allowed were answered.
  expect(attacker.settingsAcks).toBeLessThan(250);
});

test("with values that change the header table each time, and the default limits", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  await flood(attacker, 20_000, (n) => attacker.send(settingsFrame([1, n % 2 === 0 ? 0 : 4096], [4, 65_535 + n])));
  await expectCalmed(siege, "control");
});

test("some at the beginning are none", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 100, http2ControlsPerSecond: 1 } });
  for (let n = 0; n < 20; n++) siege.attacker.configure([4, 70_000]);
  await expectTolerated(siege);
});

test("from an endpoint", async () => {
  const siege = await startEndpointSiege({ limits: { http2ControlBurst: 100, http2ControlsPerSecond: 1 } });
  const { hostile } = siege;
  await flood(hostile, 5000, () => hostile.send(settingsFrame()));
  await expectEndpointCalmed(siege, "control");
});
