// Attack: nonsense. Frames of any type, flags, stream and length in any order, most of them well-formed enough to get
// past the first checks; heads from a broken encoder; and the same from an endpoint. Whatever comes of it for the peer
// that sends it, the process goes on and its neighbours notice nothing: an exception that nobody expects would end
// both.
import { expect, test } from "vitest";
import { flags, frame, goawayFrame, numberFrame, padded, settingsFrame, types } from "../../support/http2-frames.ts";
import { startHttp2Answering } from "../../support/http2-backend.ts";
import { indexed, literal, sizeUpdate, writeBlock } from "../../support/http2-hpack.ts";
import { connectTo, get, post } from "../../support/http2-sidecar.ts";
import { startSiege } from "../../support/http2-siege.ts";
import type { PeerStream } from "../../support/http2-stream.ts";
import { eventually } from "../../support/quiet.ts";
import { type Random, randomOf } from "../../support/random.ts";
import type { Sidecar } from "../../support/sidecar.ts";
import { openConnections } from "../../support/requests.ts";

const PEERS = 60;
const FRAMES = 40;

const bytesOf = (random: Random, count: number): Buffer =>
  Buffer.from(Array.from({ length: count }, () => random(256)));
const pick = <T>(random: Random, all: readonly T[]): T => all[random(all.length)] as T;

/** A header block: a right one, a slightly wrong one, or no block at all. */
function blockOf(random: Random, right: Buffer): Buffer {
  const parts = [right];
  for (let n = random(3); n > 0; n--) {
    parts.push(
      pick(random, [
        () => literal([`x-${random(30)}`, "v".repeat(random(100)), pick(random, ["indexed", "never", "plain"])]),
        () => indexed(1 + random(70)),
        () => sizeUpdate(random(5000)),
        () => literal(["content-length", String(random(10))]),
        () => bytesOf(random, random(10)),
      ])(),
    );
  }
  if (random(8) === 0) parts.reverse();
  const block = Buffer.concat(parts);
  if (random(6) === 0) block[random(block.length)] = random(256);
  return random(10) === 0 ? block.subarray(0, random(block.length)) : block;
}

/** One frame, mostly a right one. */
function frameOf(random: Random, id: number, right: Buffer): Buffer {
  const end = random(2) === 0 ? flags.endStream : 0;
  const last = random(5) === 0 ? 0 : flags.endHeaders;
  switch (random(14)) {
    case 0:
    case 1:
    case 2:
      return frame(types.headers, end | last, id, blockOf(random, right));
    case 3: {
      const block = padded(blockOf(random, right), random(20));
      return frame(types.headers, end | last | flags.padded, id, block);
    }
    case 4:
    case 5:
      return frame(types.data, end, id, bytesOf(random, random(300)));
    case 6:
      return frame(types.data, end | flags.padded, id, padded(bytesOf(random, random(50)), random(100)));
    case 7:
      return frame(types.continuation, last, id, blockOf(random, right));
    case 8:
      return numberFrame(types.rstStream, id, random(16));
    case 9:
      return settingsFrame([1 + random(9), pick(random, [0, 1, 100, 16_384, 65_535, 2 ** 31 - 1, 2 ** 32 - 1])]);
    case 10:
      return numberFrame(types.windowUpdate, random(2) * id, pick(random, [0, 1, 1000, 2 ** 31 - 1]));
    case 11:
      return goawayFrame(random(10), random(14));
    case 12:
      return frame(types.ping, random(2), 0, bytesOf(random, 8));
    default:
      return frame(random(12), random(256), random(3) === 0 ? id : random(10), bytesOf(random, random(40)));
  }
}

async function clean(sidecar: Sidecar): Promise<void> {
  await eventually(async () => (await sidecar.metric("sidelane_active_requests", { destination: "x" })) === 0);
  await eventually(() => openConnections(sidecar) <= 2);
}

test.each([1, 2, 3])("from clients (seed %i)", async (seed) => {
  const random = randomOf(seed);
  const { sidecar, neighbour } = await startSiege({ timeouts: { responseHeadMs: 500, bodyMs: 500, headMs: 500 } });
  for (let n = 0; n < PEERS; n++) {
    const client = await connectTo(sidecar);
    client.strict = false;
    const right = writeBlock(random(2) === 0 ? get() : post("/", ["x-a", "b", "indexed"]));
    for (let count = 0; count < FRAMES && client.ending === undefined; count++) {
      // Ids that mostly ascend, and sometimes repeat.
      const id = 1 + 2 * Math.max(0, count - random(4) * random(4));
      client.send(frameOf(random, id, right));
      if (random(4) === 0) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    }
    if (random(2) === 0) client.abort();
    else {
      client.finish();
      await Promise.race([client.ended(), client.settled().catch(() => {})]);
      client.socket.destroy();
    }
  }
  await clean(sidecar);
  await neighbour.stop();
  expect(await sidecar.metric("sidelane_requests_total")).toBeGreaterThan(PEERS);
});

test.each([4, 5, 6])("from endpoints (seed %i)", async (seed) => {
  const random = randomOf(seed);
  const answer = async (stream: PeerStream): Promise<void> => {
    const { peer } = stream;
    peer.strict = false;
    const right = writeBlock(random(3) === 0 ? [["x-end", "1"]] : [[":status", pick(random, ["200", "204", "103"])]]);
    for (let count = 0; count < FRAMES / 2 && peer.ending === undefined; count++) {
      peer.send(frameOf(random, random(4) === 0 ? 1 + random(9) : stream.id, right));
      if (random(4) === 0) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
      }
    }
    if (random(3) === 0) peer.finish();
  };
  const backend = await startHttp2Answering(answer);
  const {
    sidecar,
    attacker: client,
    neighbour,
  } = await startSiege({
    timeouts: { responseHeadMs: 300, bodyMs: 300, requestMs: 600 },
    limits: { http2ResetBurst: 100_000 },
  });
  sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
  // This client is innocent: it hears of nothing but its own requests.
  client.strict = true;
  for (let n = 0; n < PEERS; n += 4) {
    const batch = Array.from({ length: 4 }, () => client.request(get("/", ["baggage", "sidelane=x"])));
    await Promise.all(batch.map(async (asked) => asked.over()));
  }
  expect(client.goaways).toEqual([]);
  for (const peer of backend.connections) peer.strict = false;
  await clean(sidecar);
  await neighbour.stop();
});
