// Attack: everything at once. Clients that pipeline, stall, half-close and abort, and an endpoint that truncates, resets,
// sends twice, answers early or talks garbage, in every mixture. Afterwards nothing is left running, and no client has ever
// got a byte of an answer to somebody else's request: each answer repeats the tag of the request it belongs to.
import { expect, test } from "vitest";
import { startBackend } from "../support/backend.ts";
import { takeMessage } from "../support/message.ts";
import type { Peer } from "../support/peer.ts";
import { eventually } from "../support/quiet.ts";
import { type Sidecar, describeRelay, startSidecar } from "../support/sidecar.ts";

const CLIENTS = 400;
const AT_ONCE = 40;

/** Repeatable random numbers below `bound` (mulberry32). */
function randomOf(seed: number): (bound: number) => number {
  let state = seed;
  return (bound) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}
type Random = ReturnType<typeof randomOf>;

/** Answers on one connection of the app, mostly well. */
async function misbehave(peer: Peer, random: Random): Promise<void> {
  for (;;) {
    const request = await peer.message().catch(() => undefined);
    if (request === undefined) {
      peer.finish();
      return;
    }
    const tag = request.field("x-tag") ?? "";
    const body = `${tag}:${"x".repeat(random(3) === 0 ? random(300_000) : random(50))}`;
    const whole = `HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\nContent-Length: ${body.length}\r\n\r\n${body}`;
    const chunked = `HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\nTransfer-Encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    switch (random(16)) {
      case 0:
        peer.send(whole.slice(0, random(whole.length)));
        peer.finish();
        return;
      case 1:
        peer.send(chunked.slice(0, random(chunked.length)));
        peer.abort();
        return;
      case 2:
        // Another answer that nobody asked for.
        peer.send(whole + whole.replaceAll(tag, "evil"));
        break;
      case 3:
        peer.send("garbage\r\n\r\n");
        return;
      case 4:
        peer.finish();
        return;
      case 5:
        peer.abort();
        return;
      case 6:
        peer.send(`HTTP/1.1 200 OK\r\nX-Tag: ${tag}\r\n\r\n${body}`);
        peer.finish();
        return;
      case 7:
        peer.send(whole);
        peer.finish();
        return;
      case 8:
        await peer.sendParts([chunked.slice(0, 20), chunked.slice(20, 60), chunked.slice(60)]);
        break;
      default:
        peer.send(random(2) === 0 ? whole : chunked);
    }
  }
}

/** One client's life; resolves to the tags it asked for and everything it got. */
async function live(sidecar: Sidecar, id: number, random: Random): Promise<{ tags: string[]; text: string }> {
  const client = await sidecar.connect();
  const tags = Array.from({ length: 1 + random(4) }, (_, n) => `t${id}-${n}`);
  const requests = tags.map((tag) => {
    const body = "b".repeat(random(3) === 0 ? random(200_000) : random(20));
    const key = random(10) === 0 ? "baggage: sidelane=nobody\r\n" : "";
    const framing =
      random(2) === 0
        ? `Content-Length: ${body.length}\r\n\r\n${body}`
        : `Transfer-Encoding: chunked\r\n\r\n${body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n\r\n`;
    return `${random(2) === 0 ? "PUT" : "POST"} / HTTP/1.1\r\nHost: checkout\r\nX-Tag: ${tag}\r\n${key}${framing}`;
  });
  const all = requests.join("");
  const how = random(8);
  if (how === 0) {
    client.send(all.slice(0, random(all.length)));
    client.finish();
  } else if (how === 1) {
    client.send(all.slice(0, random(all.length)));
    await client.sendParts(["", ""]);
    client.abort();
  } else if (how === 2) {
    client.send(all);
    await client.until((text) => text.length > 10).catch(() => "");
    client.abort();
  } else if (how === 3) {
    client.socket.pause();
    client.send(all);
    await client.sendParts(["", "", "", ""]);
    client.socket.resume();
    client.finish();
  } else {
    client.send(all);
    client.finish();
  }
  if (how !== 1 && how !== 2) await client.ended();
  const { text } = client;
  client.socket.destroy();
  return { tags, text };
}

/** Checks that what a client got are answers to its own requests, in order; the last one may be cut off. */
function check(tags: readonly string[], text: string): void {
  let rest = text;
  for (const tag of tags) {
    const message = takeMessage(rest, "message", true);
    if (message === undefined) break;
    rest = rest.slice(message.raw.length);
    if (message.field("server") === "sidelane") continue;
    expect(message.field("x-tag")).toBe(tag);
    expect(message.body.startsWith(`${tag}:`) || message.body === "").toBe(true);
  }
  expect(text).not.toContain("evil");
}

describeRelay("chaos", (mode) => {
  test.each([1, 2, 3])("leaves nothing behind and mixes nothing up (seed %i)", async (seed) => {
    const random = randomOf(seed);
    const backend = await startBackend();
    void (async () => {
      for (;;) void misbehave(await backend.accept(), random);
    })();
    const sidecar = await startSidecar({
      ...mode,
      target: backend.name,
      tenancy: { onUnknownKey: "reject" },
      timeouts: { responseHeadMs: 500, halfClosedMs: 1000, bodyMs: 500 },
      accessLog: true,
    });
    let next = 0;
    const lives = Array.from({ length: AT_ONCE }, async () => {
      while (next < CLIENTS) {
        const { tags, text } = await live(sidecar, next++, random);
        check(tags, text);
      }
    });
    await Promise.all(lives);
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
    await eventually(async () => (await sidecar.metric("sidelane_upstream_connections", { state: "active" })) === 0);
    expect(await sidecar.metric("sidelane_upstream_connections", { state: "connecting" })).toBe(0);
    await eventually(() => !JSON.stringify(sidecar.proxy.connections()).match(/"connections":[1-9]/));
    expect(JSON.stringify(sidecar.proxy.connections())).not.toMatch(/"outstanding":-?[1-9]/);
    const counted = await sidecar.metric("sidelane_requests_total");
    expect(await sidecar.logLines()).toHaveLength(counted);
  });
});
