// Attack: interim responses without end. An endpoint, taken over or out of its mind, sends one 103 after the other:
// each is a whole head to decode, check and encode again, no flow control holds them back, and the request never ends.
import { expect, test } from "vitest";
import { connectTo, get } from "../../support/http2-sidecar.ts";
import { startEndpointSiege } from "../../support/http2-siege.ts";
import { memoryGrowth } from "../../support/quiet.ts";

const MIB = 1024 * 1024;
const ROUNDS = 8000;

test("to a client that does not read: the endpoint is held back or sent away", async () => {
  const { hostile, got, client, sidecar, neighbour } = await startEndpointSiege();
  client.socket.pause();
  const growth = memoryGrowth();
  let sent = 0;
  for (let n = 0; n < ROUNDS && hostile.ending === undefined && got.resetCode === undefined; n++) {
    // Held back, as far as a test can see it from here.
    if (hostile.socket.writableLength > MIB) break;
    got.head([
      [":status", "103"],
      ["link", "x".repeat(8000)],
    ]);
    sent += 8000;
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
  }
  expect(sent).toBeLessThan(ROUNDS * 8000);
  expect(growth()).toBeLessThan(16 * MIB);
  const other = await connectTo(sidecar);
  expect((await other.request(get()).complete()).body).toBe("hello");
  client.abort();
  await neighbour.stop();
});
