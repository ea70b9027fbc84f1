// A client may close its sending side and still wait for answers (docs/decisions/0009-half-close-is-not-an-abort.md).
import { describe, expect, test } from "vitest";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";

describe("half-closed connections", () => {
  test("of a client that has sent its requests: they are answered, then the connection ends", async () => {
    const trio = await startHttp2Trio();
    const all = [];
    for (let n = 0; n < 3; n++) all.push(await exchange(trio, get(`/${n}`)));
    trio.client.finish();
    for (const [n, { asked, got }] of all.entries()) {
      got.respond(200, `${n}`);
      expect((await asked.complete()).body).toBe(`${n}`);
    }
    expect(await trio.client.ended()).toBe("fin");
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

  test("of a client for longer than timeouts.halfClosedMs: it is gone", async () => {
    const trio = await startHttp2Trio({ timeouts: { halfClosedMs: 200 } });
    const { got } = await exchange(trio);
    trio.client.finish();
    expect(await got.wasReset()).toBe(8);
    expect(await trio.client.ended()).toMatch(/fin|reset/);
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
