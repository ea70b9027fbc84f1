// Attack: zero-window stall (CVE-2019-9517 "internal data buffering", CVE-2019-9511). A client asks for large answers
// and never opens its windows: each response occupies an endpoint's stream and what has been read of it, for ever.
import { expect, test } from "vitest";
import { startHttp2Answering } from "../../support/http2-backend.ts";
import { settingIds } from "../../support/http2-frames.ts";
import { get } from "../../support/http2-sidecar.ts";
import { startEndpointSiege, startSiege } from "../../support/http2-siege.ts";
import { eventually, memoryGrowth } from "../../support/quiet.ts";
import { bodyBlocks } from "../../support/stream.ts";

const MIB = 1024 * 1024;

test.each([
  ["streams without a window", { settings: [[settingIds.initialWindowSize, 0]] }],
  ["a connection without a window", { settings: [[settingIds.initialWindowSize, 1_000_000]] }],
  ["windows of one byte at a time", { settings: [[settingIds.initialWindowSize, 1]] }],
] as [string, { settings: [number, number][] }][])("%s: timeouts.stalledMs ends it", async (_, options) => {
  const siege = await startSiege({ timeouts: { stalledMs: 500 } }, options);
  const { attacker, sidecar, neighbour } = siege;
  attacker.credit = "none";
  const backend = await startHttp2Answering(async (stream) => {
    stream.head([[":status", "200"]]);
    await stream.pour(bodyBlocks(8 * MIB));
  });
  sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
  const growth = memoryGrowth();
  const asked = Array.from({ length: 20 }, (_each, n) => attacker.request(get(`/${n}`, ["baggage", "sidelane=x"])));
  await eventually(() => attacker.ending !== undefined || asked.every(({ resetCode }) => resetCode !== undefined));
  expect(growth()).toBeLessThan(48 * MIB);
  expect(await sidecar.metric("sidelane_http2_abuse_total", { kind: "stalled" })).toBeGreaterThan(0);
  // Nothing of it is left at the endpoint.
  await eventually(() =>
    backend.connections.every(({ streams }) => [...streams.values()].every(({ resetCode }) => resetCode !== undefined)),
  );
  await neighbour.stop();
});

test("an endpoint that never takes the request: timeouts.stalledMs ends it", async () => {
  const siege = await startEndpointSiege({ timeouts: { stalledMs: 500 } });
  const { hostile, got, asked, client, neighbour } = siege;
  hostile.credit = "none";
  void asked.pour(bodyBlocks(8 * MIB)).catch(() => {});
  await asked.over();
  expect(asked.resetCode !== undefined || [502, 503, 504].includes(asked.heads[0]?.status ?? 0)).toBe(true);
  expect(await got.wasReset()).toBeGreaterThan(0);
  expect((await client.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});

test("more than the process is to hold: whoever makes it do so loses its streams, long before stalledMs", async () => {
  const siege = await startSiege(
    { limits: { http2HeldBytesMax: MIB } },
    { settings: [[settingIds.initialWindowSize, 0]] },
  );
  const { attacker, sidecar, neighbour } = siege;
  const backend = await startHttp2Answering(async (stream) => {
    stream.head([[":status", "200"]]);
    await stream.pour(bodyBlocks(8 * MIB));
  });
  sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
  const asked = Array.from({ length: 60 }, (_each, n) => attacker.request(get(`/${n}`, ["baggage", "sidelane=x"])));
  await eventually(() => attacker.ending !== undefined || asked.some(({ resetCode }) => resetCode !== undefined));
  // A few may stay: what all hold is then within the limit again.
  const stalled = (): Promise<number> => sidecar.metric("sidelane_http2_abuse_total", { kind: "stalled" });
  await expect.poll(stalled, { timeout: 20_000 }).toBeGreaterThanOrEqual(40);
  attacker.abort();
  await neighbour.stop();
});
