// Attack: data dribble (CVE-2019-9511). A client asks for a large response and opens its window one octet at a time:
// each octet costs the server a WINDOW_UPDATE to read and a frame of ten octets to write, and the response holds its
// buffers for as long as the client likes.
import { expect, test } from "vitest";
import { startHttp2Answering } from "../../support/http2-backend.ts";
import { numberFrame, settingIds, types } from "../../support/http2-frames.ts";
import { get } from "../../support/http2-sidecar.ts";
import { expectCalmed, startSiege } from "../../support/http2-siege.ts";
import { bodyBlocks } from "../../support/stream.ts";

test("a window of one octet at a time is a flood like any other", async () => {
  const siege = await startSiege(
    { limits: { http2ControlBurst: 200, http2ControlsPerSecond: 1 } },
    { settings: [[settingIds.initialWindowSize, 0]] },
  );
  const { attacker, sidecar } = siege;
  const backend = await startHttp2Answering(async (stream) => {
    stream.head([[":status", "200"]]);
    await stream.pour(bodyBlocks(1_000_000));
  });
  sidecar.publish({ services: { checkout: {} }, sandboxes: { x: { services: { checkout: [backend.name] } } } });
  const asked = attacker.request(get("/", ["baggage", "sidelane=x"]));
  await asked.receivedHead();
  for (let n = 0; n < 1000 && attacker.goaways.length === 0 && attacker.ending === undefined; n++) {
    attacker.send(numberFrame(types.windowUpdate, asked.id, 1));
    await new Promise<void>((resolve) => {
      setImmediate(() => setImmediate(resolve));
    });
  }
  // Hardly anything of the response has left: an octet is not worth a frame.
  expect(asked.bytesReceived).toBeLessThan(1000);
  await expectCalmed(siege, "control");
});
