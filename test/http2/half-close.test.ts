// HTTP/2 has END_STREAM for the end of a request: a client that closes its side of the connection is gone
// (docs/decisions/0009 is about HTTP/1.1).
import { describe, expect, test } from "vitest";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";

describe("half-closed connections", () => {
  test("of a client that has sent its requests: it is gone, and its endpoints hear of it", async () => {
    const trio = await startHttp2Trio();
    const all = [];
    for (let n = 0; n < 3; n++) all.push(await exchange(trio, get(`/${n}`)));
    trio.client.finish();
    for (const { got } of all) expect(await got.wasReset()).toBe(8);
    expect(await trio.client.ended()).toMatch(/fin|reset/);
  });

  test("of a client in the middle of a request body: that one can never be complete", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("some");
    await got.received(4);
    trio.client.finish();
    await got.wasReset();
    expect(got.ended).toBe(false);
  });

  test("of an endpoint that has not finished its responses: they cannot be complete any more", async () => {
    const trio = await startHttp2Trio();
    const begun = await exchange(trio);
    begun.got.head([[":status", "200"]]).data("some");
    await begun.asked.received(4);
    const done = await exchange(trio);
    done.got.respond(200, "whole");
    begun.got.peer.finish();
    expect((await done.asked.complete()).body).toBe("whole");
    await begun.asked.wasReset();
    expect(begun.asked.ended).toBe(false);
    const next = await exchange(trio);
    next.got.respond(204);
    await next.asked.complete();
  });
});
