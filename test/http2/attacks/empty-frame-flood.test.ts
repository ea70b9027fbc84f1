// Attack: empty frames flood (CVE-2019-9518). DATA frames without bytes cost no flow control credit, so that a client
// may send them for ever; a relay that forwards them multiplies the work.
import { expect, test } from "vitest";
import { frame, types } from "../../support/http2-frames.ts";
import { post } from "../../support/http2-sidecar.ts";
import {
  expectCalmed,
  expectEndpointCalmed,
  expectTolerated,
  flood,
  startEndpointSiege,
  startSiege,
} from "../../support/http2-siege.ts";

test("DATA without bytes", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  const { id } = attacker.request(post(), {});
  await flood(attacker, 10_000, () => attacker.send(frame(types.data, 0, id)));
  await expectCalmed(siege, "empty-frame");
});

test("DATA of nothing but padding", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  const stream = attacker.request(post(), {});
  await flood(attacker, 10_000, () => {
    if (attacker.sendWindow > 10 && stream.sendWindow > 10) stream.data("", { padBytes: 0 });
  });
  await expectCalmed(siege, "empty-frame");
});

test("an empty frame that ends its stream is none, and a few others are none either", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  for (let n = 0; n < 200; n++) {
    const stream = attacker.request(post(), {});
    if (n % 10 === 0) stream.data("");
    stream.end();
    expect((await stream.complete()).body).toBe("hello");
  }
  await expectTolerated(siege);
});

test("from an endpoint", async () => {
  const siege = await startEndpointSiege();
  const { hostile, got } = siege;
  got.head([[":status", "200"]]);
  await flood(hostile, 10_000, () => hostile.send(frame(types.data, 0, got.id)));
  await expectEndpointCalmed(siege, "empty-frame");
});
