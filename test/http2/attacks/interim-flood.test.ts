// Attack: interim responses without end. An endpoint, taken over or out of its mind, sends one 103 after the other: each is a whole head to
// decode, check and encode again, no flow control holds them back, and the request never ends.
import { expect, test } from "vitest";
import { get } from "../../support/http2-sidecar.ts";
import { flood, startEndpointSiege } from "../../support/http2-siege.ts";

test("a client that does not read: what is kept for it is bounded, or the endpoint is sent away", async () => {
  const { hostile, got, asked, client, neighbour } = await startEndpointSiege();
  await flood(hostile, 20_000, () => {
    if (got.resetCode === undefined)
      got.head([
        [":status", "103"],
        ["link", "</a.css>"],
      ]);
  });
  // However it ends, others are served.
  expect(asked.heads.every(({ status }) => status === 103 || status === 502)).toBe(true);
  client.strict = false;
  expect((await client.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});
