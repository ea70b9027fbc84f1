// A connection that ends anywhere within an answer: what the client has never looks complete, and nothing is left
// behind.
import { expect, test } from "vitest";
import { frame, settingsFrame, types } from "../support/http2-frames.ts";
import { writeBlock } from "../support/http2-hpack.ts";
import { exchange, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { describeRelay } from "../support/sidecar.ts";

const answer = (id: number): Buffer =>
  Buffer.concat([
    settingsFrame(),
    frame(
      types.headers,
      4,
      id,
      writeBlock([
        [":status", "200"],
        ["content-length", "20"],
        ["x-a", "b"],
      ]),
    ),
    frame(types.data, 0, id, Buffer.from("0123456789")),
    frame(types.data, 0, id, Buffer.from("0123456789")),
    frame(types.headers, 5, id, writeBlock([["x-end", "1"]])),
  ]);

describeRelay("an upstream connection that ends within an answer", (mode) => {
  test.each(["fin", "reset"] as const)("after any number of bytes (%s)", async (how) => {
    const trio = await startHttp2Trio(mode);
    const whole = answer(1).length;
    for (let cut = 0; cut < whole; cut += 3) {
      const { asked, got } = await exchange(trio, post());
      got.peer.strict = false;
      got.peer.send(answer(got.id).subarray(0, cut));
      if (how === "fin") got.peer.finish();
      else got.peer.abort();
      await asked.over();
      const complete = asked.ended && asked.heads[0]?.status === 200;
      expect([cut, complete]).toEqual([cut, false]);
      await got.peer.ended();
      got.peer.socket.destroy();
    }
    expect(trio.client.goaways).toEqual([]);
    await eventually(async () => (await trio.sidecar.metric("sidelane_active_requests")) === 0);
  });
});
