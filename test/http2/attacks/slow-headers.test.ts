// Attack: slow heads (slowloris). A client opens a connection and sends the preface, a head or a body an octet at a
// time: each connection is kept for as long as the next octet may come.
import { expect, test } from "vitest";
import { PREFACE, frame, settingsFrame, types } from "../../support/http2-frames.ts";
import { writeBlock } from "../../support/http2-hpack.ts";
import { connectTo, get, post } from "../../support/http2-sidecar.ts";
import { startSiege } from "../../support/http2-siege.ts";
import { eventually } from "../../support/quiet.ts";

const timeouts = { headMs: 400, bodyMs: 400, idleMs: 60_000 };
const head = frame(types.headers, 5, 1, writeBlock(get()));

test.each([
  ["a preface that stops", PREFACE.subarray(0, 10)],
  ["a preface and no SETTINGS", PREFACE],
  ["a frame head that stops", Buffer.concat([PREFACE, settingsFrame(), head.subarray(0, 5)])],
  ["a head that stops", Buffer.concat([PREFACE, settingsFrame(), head.subarray(0, -3)])],
  [
    "a head without its CONTINUATION",
    Buffer.concat([PREFACE, settingsFrame(), frame(types.headers, 1, 1, writeBlock(get()))]),
  ],
])("%s: timeouts.headMs ends it", async (_, bytes) => {
  const { sidecar, neighbour } = await startSiege({ timeouts });
  const client = await connectTo(sidecar, { preface: false });
  client.strict = false;
  client.send(bytes);
  expect(await client.ended()).toMatch(/fin|reset/);
  await neighbour.stop();
});

test("one octet after the other does not start the deadline again", async () => {
  const { sidecar, neighbour } = await startSiege({ timeouts });
  const client = await connectTo(sidecar);
  client.strict = false;
  const long = frame(types.headers, 5, 1, writeBlock(get("/", ["x-long", "x".repeat(5000)])));
  for (let at = 0; at < long.length && client.ending === undefined; at++) {
    client.send(long.subarray(at, at + 1));
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
  expect(client.ending).toBeDefined();
  await neighbour.stop();
});

test("a body that stops: 408 or a reset after timeouts.bodyMs, and the connection stays", async () => {
  const { attacker, sidecar, neighbour } = await startSiege({ timeouts });
  const stream = attacker.request(post("/", ["content-length", "10"]), {});
  stream.data("x");
  // The app of these tests answers before it has the body: what has to end is the request.
  await eventually(async () => (await sidecar.metric("sidelane_active_requests", {})) <= 1);
  await stream.over();
  expect((await attacker.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});
