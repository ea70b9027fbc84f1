// Attack: windows above 2^31-1 (RFC 9113 §6.9.1), and WINDOW_UPDATE frames that change nothing. A sum that wraps
// becomes a window of less than nothing, or one without end; and a stream that is not cleaned up behind the error is a
// leak (CVE-2026-21714).
import { expect, test } from "vitest";
import { codes, numberFrame, types } from "../../support/http2-frames.ts";
import { get, post } from "../../support/http2-sidecar.ts";
import { expectCalmed, flood, startEndpointSiege, startSiege } from "../../support/http2-siege.ts";
import { eventually } from "../../support/quiet.ts";
import { openConnections } from "../../support/requests.ts";

const MAX = 2 ** 31 - 1;

test("of the connection: FLOW_CONTROL_ERROR, and nothing is left", async () => {
  const { attacker, sidecar, neighbour } = await startSiege();
  attacker.request(post(), {});
  attacker.allow(0, MAX);
  expect((await attacker.goneAway()).code).toBe(codes.flowControlError);
  await attacker.ended();
  await eventually(() => openConnections(sidecar) === 1);
  await neighbour.stop();
});

test("of a stream: that one is reset, the connection stays", async () => {
  const { attacker, neighbour } = await startSiege();
  const stream = attacker.request(post(), {});
  stream.allow(MAX);
  expect(await stream.wasReset()).toBe(codes.flowControlError);
  expect((await attacker.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});

test("of nothing: PROTOCOL_ERROR, of the stream or of the connection", async () => {
  const { attacker, neighbour } = await startSiege();
  const stream = attacker.request(post(), {});
  attacker.send(numberFrame(types.windowUpdate, stream.id, 0));
  expect(await stream.wasReset()).toBe(codes.protocolError);
  attacker.send(numberFrame(types.windowUpdate, 0, 0));
  expect((await attacker.goneAway()).code).toBe(codes.protocolError);
  await neighbour.stop();
});

test("by one octet at a time: a flood like any other", async () => {
  const siege = await startSiege({ limits: { http2ControlBurst: 200, http2ControlsPerSecond: 1 } });
  const { attacker } = siege;
  const stream = attacker.request(post(), {});
  await flood(attacker, 10_000, (n) => attacker.send(numberFrame(types.windowUpdate, n % 2 === 0 ? 0 : stream.id, 1)));
  await expectCalmed(siege, "control");
});

test("from an endpoint, of the connection and of a stream", async () => {
  for (const ofStream of [true, false]) {
    const { hostile, got, asked, client, neighbour } = await startEndpointSiege();
    hostile.allow(ofStream ? got.id : 0, MAX);
    if (ofStream) expect(await got.wasReset()).toBe(codes.flowControlError);
    else expect((await hostile.goneAway()).code).toBe(codes.flowControlError);
    await asked.over();
    expect(asked.resetCode !== undefined || asked.heads[0]?.status === 502).toBe(true);
    expect((await client.request(get()).complete()).body).toBe("hello");
    await neighbour.stop();
  }
});
