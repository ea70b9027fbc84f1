// Attack: data dribble (CVE-2019-9511). A client asks for a large response and opens its window one octet at a time: each octet
// costs the server a WINDOW_UPDATE to read and a frame of ten octets to write, and the response holds its buffers for as
// long as the client likes.
import { expect, test } from "vitest";
import { startHttp2Answering } from "../../support/http2-backend.ts";
import { numberFrame, settingIds, types } from "../../support/http2-frames.ts";
import { get } from "../../support/http2-sidecar.ts";
import { flood, startSiege } from "../../support/http2-siege.ts";
import { bodyBlocks } from "../../support/stream.ts";

test("windows of one octet at a time: ended as a flood, or answered with few frames", async () => {
  const siege = await startSiege({}, { settings: [[settingIds.initialWindowSize, 0]] });
  const { attacker, sidecar, neighbour } = siege;
  const backend = await startHttp2Answering(async (stream) => {
    stream.head([[":status", "200"]]);
    await stream.pour(bodyBlocks(1_000_000));
  });
  sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
  const asked = attacker.request(get("/", ["baggage", "sidelane=x"]));
  await asked.receivedHead();
  let frames = 0;
  const take = asked.take.bind(asked);
  asked.take = (chunk) => {
    frames++;
    take(chunk);
  };
  await flood(attacker, 20_000, () => attacker.send(numberFrame(types.windowUpdate, asked.id, 1)));
  await Promise.race([attacker.settled().catch(() => {}), attacker.ended()]);
  const calmed = attacker.goaways.some(({ code }) => code === 11);
  expect(calmed || frames < 1000).toBe(true);
  await neighbour.stop();
});
