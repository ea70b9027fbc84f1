// Attack: everything at once. Clients that pour, stall, reset and vanish, and an endpoint that does the same, in every
// mixture. Afterwards nothing is left running, and no client has ever got a byte of an answer to somebody else's
// request: each answer repeats the tag of the request that it belongs to. The raw peers watch the protocol meanwhile.
import { expect, test } from "vitest";
import { codes, settingIds } from "../support/http2-frames.ts";
import { startHttp2Answering } from "../support/http2-backend.ts";
import { connectTo, get, post } from "../support/http2-sidecar.ts";
import type { PeerStream } from "../support/http2-stream.ts";
import { eventually } from "../support/quiet.ts";
import { type Random, randomOf } from "../support/random.ts";
import { type Sidecar, describeRelay, startSidecar } from "../support/sidecar.ts";

const describe0 = (n: string, d: (m: {nativeWrites: boolean}) => void) => d({nativeWrites: true});
const CLIENTS = 60;
const AT_ONCE = 12;
const resets = [codes.cancel, codes.internalError, codes.refusedStream, codes.noError];

/** Answers one request, mostly well. */
async function misbehave(stream: PeerStream, random: Random): Promise<void> {
  const tag = stream.heads[0]?.get("x-tag") ?? "";
  const body = Buffer.from(`${tag}:${"x".repeat(random(3) === 0 ? random(300_000) : random(50))}`);
  const { peer } = stream;
  const head = (): PeerStream =>
    stream.head([
      [":status", "200"],
      ["x-tag", tag, random(2) === 0 ? "indexed" : "plain"],
    ]);
  switch (random(18)) {
    case 0:
      stream.reset(resets[random(4)]);
      return;
    case 1:
      head().data(body.subarray(0, Math.min(body.length, 1000)));
      stream.reset(resets[random(4)]);
      return;
    case 2:
      peer.goaway(stream.id);
      break;
    case 3:
      if (random(4) === 0) peer.abort();
      return;
    case 4:
      head().data(body.subarray(0, Math.min(body.length, 1000)));
      if (random(4) === 0) peer.finish();
      return;
    case 5:
      stream.head([
        [":status", "103"],
        ["x-tag", tag],
      ]);
      break;
    case 6:
      // Malformed.
      stream.head([
        [":status", "200"],
        ["X-Tag", tag],
      ]);
      return;
    case 7:
      peer.configure([settingIds.initialWindowSize, random(100_000)], [settingIds.headerTableSize, random(5000)]);
      break;
    case 8:
      await stream.over();
      break;
    default:
  }
  head();
  await stream.pour([body], { endStream: false });
  if (stream.resetCode !== undefined || peer.ending !== undefined) return;
  if (random(2) === 0) stream.head([["x-tag-end", tag]], { endStream: true });
  else stream.end();
}

/** One client's life: some requests on one connection. */
async function live(sidecar: Sidecar, id: number, random: Random): Promise<void> {
  const client = await connectTo(sidecar);
  if (random(4) === 0) client.configure([settingIds.initialWindowSize, random(200_000)]);
  if (random(4) === 0) client.configure([settingIds.headerTableSize, random(300)]);
  const streams = Array.from({ length: 1 + random(8) }, (_, n) => {
    const tag = `t${id}-${n}`;
    const fields = [
      ["x-tag", tag, random(2) === 0 ? "indexed" : "plain"],
      ["baggage", random(10) === 0 ? "sidelane=nobody" : "a=b"],
    ] as const;
    const stream =
      random(2) === 0 ? client.request(get(`/${tag}`, ...fields)) : client.request(post(`/${tag}`, ...fields), {});
    const body = Buffer.alloc(random(3) === 0 ? random(200_000) : random(20), tag);
    const send = async (): Promise<void> => {
      if (!stream.closedHere) await stream.pour([body]);
    };
    void send().catch(() => {});
    return { tag, stream };
  });
  const how = random(10);
  if (how === 0) client.abort();
  else if (how === 1) {
    await client.settled();
    client.abort();
  } else if (how === 2) client.finish();
  else if (how === 3) for (const { stream } of streams) stream.reset();
  else if (how === 4) client.goaway(0);
  await Promise.all(streams.map(async ({ stream }) => (how === 3 ? undefined : stream.over().catch(() => {}))));
  for (const { tag, stream } of streams) check(tag, stream);
  client.finish();
  client.socket.destroySoon();
}

/** What came on a stream is the answer to its request, whole or cut off. */
function check(tag: string, stream: PeerStream): void {
  for (const head of stream.heads) {
    if (head.get("server") === "sidelane") return;
    for (const name of ["x-tag", "x-tag-end"]) expect(head.get(name) ?? tag).toBe(tag);
  }
  expect(`${tag}:`.startsWith(stream.body.slice(0, tag.length + 1)) || stream.body.startsWith(`${tag}:`)).toBe(true);
}

describe0("chaos over HTTP/2", (mode) => {
  test.each(Array.from({length:14},(_,n)=>10+n))("leaves nothing behind and mixes nothing up (seed %i)", async (seed) => {
    const random = randomOf(seed);
    const backend = await startHttp2Answering((stream) => misbehave(stream, random));
    const sidecar = await startSidecar({
      ...mode,
      target: backend.name,
      tenancy: { onUnknownKey: "reject" },
      timeouts: { responseHeadMs: 500, halfClosedMs: 1000, bodyMs: 500, stalledMs: 1000, requestMs: 1500 },
      accessLog: true,
    });
    let next = 0;
    const lives = Array.from({ length: AT_ONCE }, async () => {
      while (next < CLIENTS) await live(sidecar, next++, random);
    });
    await Promise.all(lives);
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) === 0);
    await eventually(async () => (await sidecar.metric("sidelane_upstream_connections", { state: "active" })) === 0);
    await eventually(() => !JSON.stringify(sidecar.proxy.connections()).match(/"connections":[1-9]/));
    expect(JSON.stringify(sidecar.proxy.connections())).not.toMatch(/"outstanding":-?[1-9]/);
    const counted = await sidecar.metric("sidelane_requests_total");
    expect(counted).toBeGreaterThan(CLIENTS);
    expect(await sidecar.logLines()).toHaveLength(counted);
  });
});
