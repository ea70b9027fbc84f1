import { describe, expect, test } from "vitest";
import { frame, settingIds, types } from "../support/http2-frames.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

const large: SentField[] = Array.from({ length: 12 }, (_, n) => [`x-large-${n}`, String(n % 10).repeat(4900)]);

describeRelay("heads in several frames (RFC 9113 §6.10)", (mode) => {
  test("arrive whole, both ways, whatever the pieces", async () => {
    const trio = await startHttp2Trio(mode);
    for (const splitBytes of [5, 100, 16_384]) {
      const fields: SentField[] = [["x-a", "b".repeat(splitBytes * 2)]];
      const got = trio.backend.next();
      const asked = trio.client.request(get("/", ...fields), { endStream: true, splitBytes });
      const stream = await got;
      expect(stream.heads[0]?.get("x-a")).toBe(fields[0]?.[1]);
      stream.head([[":status", "200"], ...fields], { splitBytes }).data("body");
      stream.head(fields, { splitBytes, endStream: true });
      await asked.complete();
      expect(asked.heads.map((head) => head.get("x-a"))).toEqual([fields[0]?.[1], fields[0]?.[1]]);
    }
  });

  test("of nearly limits.headBytesMax pass both ways, cut at the other side's frame size", async () => {
    const trio = await startHttp2Trio(mode);
    const got = trio.backend.next();
    const asked = trio.client.request(get("/", ...large), { endStream: true });
    const stream = await got;
    for (const [name, value] of large) expect(stream.heads[0]?.get(name)).toBe(value);
    stream.respond(200, "ok", ...large);
    await asked.complete();
    for (const [name, value] of large) expect(asked.heads[0]?.get(name)).toBe(value);
    expect(asked.body).toBe("ok");
    expect(trio.client.frames.some(({ type }) => type === types.continuation)).toBe(true);
  });

  test("HEADERS with END_STREAM but without END_HEADERS: the stream ends with its last CONTINUATION", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("body").head([["x-trailer", "t".repeat(300)]], { endStream: true, splitBytes: 50 });
    await got.complete();
    expect(got.heads[1]?.get("x-trailer")).toHaveLength(300);
  });
});

describe("the order of frames within a head", () => {
  test.each([
    ["DATA of the same stream", (id: number) => frame(types.data, 0, id, Buffer.from("x"))],
    ["a PING", () => frame(types.ping, 0, 0, Buffer.alloc(8))],
    ["CONTINUATION of another stream", (id: number) => frame(types.continuation, 4, id + 2)],
    ["an unknown frame", () => frame(0xbe, 0, 0)],
  ])("%s between ends the connection with PROTOCOL_ERROR; others stay", async (_, between) => {
    const { client, sidecar, backend } = await startHttp2Trio();
    const neighbour = await connectTo(sidecar);
    client.strict = false;
    const id = client.nextId;
    client.send(frame(types.headers, 0, id, Buffer.of(0x82)), between(id));
    expect((await client.goneAway()).code).toBe(1);
    await client.ended();
    const spared = await exchange({ client: neighbour, backend });
    spared.got.respond(204);
    await spared.asked.complete();
  });

  test("frames on the same upstream connection never fall into a large head", async () => {
    // The oracle of the backend's peer checks the order; large and small heads by turns make it hard.
    const trio = await startHttp2Trio({}, { backend: { settings: [[settingIds.headerTableSize, 0]] } });
    const neighbour = await connectTo(trio.sidecar);
    const asked = [];
    for (let n = 0; n < 20; n++) {
      asked.push(trio.client.request(get(`/${n}`, ...large)));
      const small = neighbour.request(post(`/small/${n}`), {});
      small.data("body", { endStream: true });
      asked.push(small);
    }
    for (let n = 0; n < asked.length; n++) {
      const got = await trio.backend.next();
      const path = got.heads[0]?.get(":path") ?? "";
      got.respond(200, path, ...(path.startsWith("/small") ? [] : large));
    }
    for (const stream of asked) expect((await stream.complete()).heads[0]?.status).toBe(200);
  });
});
