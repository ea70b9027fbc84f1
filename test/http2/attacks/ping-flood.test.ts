// Attack: PING flood (CVE-2019-9512). Each PING has to be answered; a client that sends them and reads nothing makes
// the server keep the answers.
import { expect, test } from "vitest";
import { frame, types } from "../../support/http2-frames.ts";
import {
  expectCalmed,
  expectEndpointCalmed,
  expectTolerated,
  flood,
  startEndpointSiege,
  startSiege,
} from "../../support/http2-siege.ts";
import { eventually, memoryGrowth } from "../../support/quiet.ts";
import { openConnections } from "../../support/requests.ts";

const ping = frame(types.ping, 0, 0, Buffer.from("floodflo"));

test("more than limits.http2ControlBurst end the connection", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 100, http2ControlsPerSecond: 1 } });
  await flood(siege.attacker, 5000, () => siege.attacker.send(ping));
  await expectCalmed(siege, "control");
});

test("without reading the answers: they are bounded, whatever the rate is allowed to be", async () => {
  const siege = await startSiege({
    limits: { http2ControlBurst: 1_000_000, http2ControlsPerSecond: 1_000_000, http2OutgoingControlBytesMax: 16_384 },
  });
  const { attacker, sidecar, neighbour } = siege;
  attacker.socket.pause();
  const growth = memoryGrowth();
  const many = Buffer.concat(Array.from({ length: 2000 }, () => ping));
  for (let n = 0; n < 1000 && !attacker.socket.destroyed && openConnections(sidecar) > 1; n++) {
    attacker.send(many);
    await attacker.drained();
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  await eventually(() => openConnections(sidecar) === 1);
  expect(await sidecar.metric("sidelane_http2_abuse_total", { kind: "outgoing-control" })).toBe(1);
  expect(growth()).toBeLessThan(32 * 1024 * 1024);
  attacker.abort();
  await neighbour.stop();
});

test("a client that measures the way now and then is no attacker", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 100, http2ControlsPerSecond: 1 } });
  for (let n = 0; n < 50; n++) await siege.attacker.settled();
  await expectTolerated(siege);
});

test("from an endpoint", async () => {
  const siege = await startEndpointSiege({ limits: { http2ControlBurst: 100, http2ControlsPerSecond: 1 } });
  const { hostile } = siege;
  await flood(hostile, 5000, () => hostile.send(ping));
  await expectEndpointCalmed(siege, "control");
});
