// Attack: rapid reset (CVE-2023-44487). A client opens streams and resets each at once. Reset streams do not count as
// open, so that the limit of concurrent streams never applies, while the server has begun work for each of them: here a
// request that is decided, sent to an endpoint, and cancelled there.
import { expect, test } from "vitest";
import { startHttp2Answering } from "../../support/http2-backend.ts";
import { get, post } from "../../support/http2-sidecar.ts";
import { expectCalmed, expectTolerated, flood, startSiege } from "../../support/http2-siege.ts";

test("more than limits.http2ResetBurst resets end the connection", async () => {
  const siege = await startSiege({ limits: { http2ResetBurst: 100, http2ResetsPerSecond: 1 } });
  const { attacker } = siege;
  await flood(attacker, 5000, (n) =>
    attacker.request(n % 2 === 0 ? get() : post(), { endStream: n % 2 === 0 }).reset(),
  );
  await expectCalmed(siege, "reset");
});

test("with the default limits, too", async () => {
  const siege = await startSiege();
  const { attacker } = siege;
  await flood(attacker, 20_000, () => attacker.request(get()).reset());
  await expectCalmed(siege, "reset");
});

test("a client that cancels now and then is no attacker", async () => {
  const siege = await startSiege({ limits: { http2ResetBurst: 100, http2ResetsPerSecond: 1 } });
  const { attacker } = siege;
  for (let n = 0; n < 60; n++) {
    attacker.request(get()).reset();
    await attacker.request(get()).complete();
  }
  await expectTolerated(siege);
});

test("endpoints see little of it: what is reset before it has left does not leave", async () => {
  const backend = await startHttp2Answering(() => {});
  const siege = await startSiege({ limits: { http2ResetBurst: 1000, http2ResetsPerSecond: 1 } });
  const { attacker, sidecar } = siege;
  sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
  for (let n = 0; n < 500; n++) attacker.request(get("/", ["baggage", "sidelane=x"])).reset();
  await expectTolerated(siege);
  expect(await sidecar.metric("sidelane_active_requests", { destination: "x" })).toBe(0);
  // Whatever did leave has been cancelled, with the connection intact.
  for (const peer of backend.connections) {
    await peer.settled();
    expect([...peer.streams.values()].every(({ resetCode }) => resetCode !== undefined)).toBe(true);
  }
});
