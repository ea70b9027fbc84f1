import { expect, test } from "vitest";
import { codes, settingIds, frame, types } from "../support/http2-frames.ts";
import { call, connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { startHttp2App } from "../support/http2-app.ts";
import { startSidecar } from "../support/sidecar.ts";

const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms));
const gauges = async (s: any) => ({ idle: await s.metric("sidelane_upstream_connections", { state: "idle" }), active: await s.metric("sidelane_upstream_connections", { state: "active" }) });

test("1 reason of own answer", async () => {
  const trio = await startHttp2Trio({ target: "127.0.0.1:1" });
  const a = trio.client.request(get());
  await a.over();
  await sleep(50);
  const lines = (await trio.sidecar.telemetry.scrape()).split("\n").filter((l) => l.startsWith("sidelane_requests_total"));
  console.log("T1", a.heads[0]?.status, lines);
});

test("2 GOAWAY(0) gauges", async () => {
  const trio = await startHttp2Trio();
  const e = await exchange(trio);
  console.log("T2 before", await gauges(trio.sidecar));
  e.got.peer.goaway(0);
  const again = await trio.backend.next();
  again.respond(200, "x");
  await e.asked.complete();
  await sleep(100);
  console.log("T2 after", await gauges(trio.sidecar), "open", trio.backend.open);
});

test("3 REFUSED gauges", async () => {
  const trio = await startHttp2Trio();
  const e = await exchange(trio);
  e.got.reset(codes.refusedStream);
  const again = await trio.backend.next();
  console.log("T3 mid", await gauges(trio.sidecar), "open", trio.backend.open);
  again.respond(200, "x");
  await e.asked.complete();
  await sleep(100);
  console.log("T3 after", await gauges(trio.sidecar), "open", trio.backend.open);
});

test("4 go-like window updates", async () => {
  const trio = await startHttp2Trio();
  trio.client.credit = "none";
  trio.client.strict = false;
  const { asked, got } = await exchange(trio);
  got.head([[":status", "200"]]);
  trio.client.allow(0, 1 << 20); asked.allow(1 << 20);
  let credited = 0;
  const pour = got.pour((function* () { for (let i = 0; i < 400; i++) yield Buffer.alloc(65536); })());
  const total = 400 * 65536;
  while (credited + 4096 <= total && trio.client.goaways.length === 0) {
    await trio.client.until(() => (asked.bytesReceived >= credited + 4096 || trio.client.goaways.length ? true : undefined));
    while (asked.bytesReceived >= credited + 4096) { credited += 4096; trio.client.allow(0, 4096); asked.allow(4096); }
  }
  console.log("T4", asked.bytesReceived, trio.client.goaways);
  void pour;
});

test("5 bdp ping", async () => {
  const trio = await startHttp2Trio();
  trio.client.strict = false;
  const { asked, got } = await exchange(trio);
  got.head([[":status", "200"]]);
  let done = false;
  const start = Date.now();
  const pinger = (async () => {
    while (!done && trio.client.goaways.length === 0) {
      const before = asked.bytesReceived;
      await trio.client.settled().catch(() => {});
      await trio.client.until(() => (asked.bytesReceived > before || done || trio.client.goaways.length ? true : undefined)).catch(() => {});
    }
  })();
  for (let n = 0; n < 20000 && trio.client.goaways.length === 0 && !asked.resetCode; n++) { got.data("x".repeat(1000)); await new Promise((r) => setImmediate(r)); }
  done = true; trio.client.wake();
  console.log("T5", Date.now() - start, "ms pongs", trio.client.pongs, "bytes", asked.bytesReceived, trio.client.goaways);
  await pinger;
});

test("6 early hints", async () => {
  const trio = await startHttp2Trio();
  trio.backend.answer = (s) => { s.head([[":status", "103"], ["link", "</a.css>"]]); s.respond(200, "ok"); };
  let ok = 0; let bad = 0;
  const neighbour = await connectTo(trio.sidecar);
  for (let n = 0; n < 3000; n += 50) {
    const all = Array.from({ length: 50 }, () => neighbour.request(get()));
    for (const a of all) { await a.over(); if (a.body === "ok") ok++; else bad++; }
  }
  console.log("T6 ok", ok, "bad", bad, trio.backend.connections.map((c) => c.goaways));
  for (const c of trio.backend.connections) c.strict = false;
});

test("7 small window config", async () => {
  const trio = await startHttp2Trio({ limits: { http2StreamWindowBytes: 16384 } });
  const { asked, got } = await exchange(trio);
  got.head([[":status", "200"]]);
  const pour = got.pour([Buffer.alloc(60000)]).catch((e) => e);
  await asked.complete().then(() => console.log("T7 fine"), (e) => console.log("T7", String(e).slice(0, 300), asked.bytesReceived));
  void pour;
});
test("8 early whole response with unread body", async () => {
  const trio = await startHttp2Trio({ timeouts: { stalledMs: 300, bodyMs: 300 } });
  trio.backend.options = {};
  const { asked, got } = await exchange(trio, post(), { endStream: false });
  got.peer.credit = "none";
  await asked.pour([Buffer.alloc(100_000)]);
  got.respond(403, "no");
  await asked.complete();
  await sleep(1500);
  console.log("T8", await gauges(trio.sidecar), "up reset", got.resetCode, "ended", got.ended, "bytes", got.bytesReceived, JSON.stringify(trio.sidecar.proxy.connections()));
});
test("9 refused before settings", async () => {
  const app = await startHttp2App(async (stream) => { await sleep(20); stream.respond({ ":status": 200 }); stream.end("hello"); }, { settings: { maxConcurrentStreams: 10 } });
  const sidecar = await startSidecar({ target: app.name });
  const client = await connectTo(sidecar);
  const all = Array.from({ length: 200 }, () => client.request(get()));
  const count: Record<string, number> = {};
  for (const a of all) { await a.over(); const k = `${a.heads[0]?.status ?? "-"} reset ${a.resetCode}`; count[k] = (count[k] ?? 0) + 1; }
  console.log("T9", count, "sessions", app.sessions.length);
}, 20000);
test("10 partialMs", async () => {
  const trio = await startHttp2Trio({ timeouts: { headMs: 500 } });
  trio.client.strict = false;
  await trio.client.settled();
  const ping = frame(types.ping, 0, 0, Buffer.from("12345678"));
  const start = Date.now();
  trio.client.send(ping.subarray(0, 5));
  while (Date.now() - start < 2000 && trio.client.goaways.length === 0) {
    trio.client.send(Buffer.concat([ping.subarray(5), ping.subarray(0, 5)]));
    await sleep(50);
  }
  console.log("T10", Date.now() - start, trio.client.goaways);
});
