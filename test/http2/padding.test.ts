import { expect, test } from "vitest";
import { flags, types } from "../support/http2-frames.ts";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

describeRelay("padding (RFC 9113 §6.1)", (mode) => {
  test("is stripped, both ways, of heads and of data", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post("/", ["x-a", "b"]), { endStream: false });
    asked.data("one", { padBytes: 0 }).data("two", { padBytes: 255 }).data("", { padBytes: 9, endStream: true });
    expect((await got.complete()).body).toBe("onetwo");
    got.head([[":status", "200"]], { padBytes: 200 });
    got.data("three", { padBytes: 17 }).head([["x-end", "1"]], { padBytes: 3, endStream: true });
    await asked.complete();
    expect(asked.body).toBe("three");
    expect(asked.heads[1]?.get("x-end")).toBe("1");
    const padded = [...trio.client.frames, ...got.peer.frames].filter(
      ({ type, flags: set }) => type === types.headers && (set & flags.padded) !== 0,
    );
    expect(padded).toEqual([]);
  });

  test("of a request's head is stripped, with and without the priority part", async () => {
    const trio = await startHttp2Trio(mode);
    for (const priority of [undefined, Buffer.of(0, 0, 0, 0, 15)]) {
      const got = trio.backend.next();
      const options = { endStream: true, padBytes: 100, splitBytes: 20 };
      const asked = trio.client.request(get("/p"), priority === undefined ? options : { ...options, priority });
      (await got).respond(204);
      expect((await got).heads[0]?.get(":path")).toBe("/p");
      await asked.complete();
    }
  });

  test("counts for the windows, and is given back: a stream of almost nothing but padding goes on", async () => {
    const trio = await startHttp2Trio(mode);
    const { client } = trio;
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.head([[":status", "200"]]);
    // 257 bytes for one: more than four windows of the default size in all.
    for (let n = 0; n < 1500; n++) {
      await client.until(() => (asked.sendWindow >= 257 && client.sendWindow >= 257 ? true : undefined));
      asked.data("x", { padBytes: 255 });
    }
    asked.end();
    expect((await got.complete()).bytesReceived).toBe(1500);
    for (let n = 0; n < 1500; n++) {
      await got.peer.until(() => (got.sendWindow >= 257 && got.peer.sendWindow >= 257 ? true : undefined));
      got.data("y", { padBytes: 255 });
    }
    got.end();
    expect((await asked.complete()).bytesReceived).toBe(1500);
  });
});
