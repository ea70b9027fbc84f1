// Settings that the other side changes while streams are running (RFC 9113 §6.5.3, §6.9.2; RFC 7541 §4.2). That the
// relay keeps to them is watched by the raw peers themselves.
import { describe, expect, test } from "vitest";
import { codes, settingIds, types } from "../support/http2-frames.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

describe("SETTINGS_INITIAL_WINDOW_SIZE", () => {
  test("of a client: lowered under a running response its window is negative, and nothing comes until it is positive", async () => {
    const trio = await startHttp2Trio();
    const { client } = trio;
    client.credit = "connection";
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]);
    const poured = got.pour(bodyBlocks(200_000));
    await asked.received(65_535);
    client.configure([settingIds.initialWindowSize, 1000]);
    await client.settled();
    // 1000 - 65,535: so much is needed before a byte may come.
    asked.allow(64_535);
    await client.settled();
    expect(asked.bytesReceived).toBe(65_535);
    asked.allow(1);
    await asked.received(65_536);
    await client.settled();
    expect(asked.bytesReceived).toBe(65_536);
    // A new stream begins with the new size.
    const small = await exchange(trio);
    small.got.respond(200, "x".repeat(5000));
    await small.asked.received(1000);
    await client.settled();
    expect(small.asked.bytesReceived).toBe(1000);
    small.asked.allow(4000);
    await small.asked.complete();
    // And raised again it lets the rest go.
    client.credit = "both";
    client.configure([settingIds.initialWindowSize, 1_000_000]);
    await poured;
    await asked.complete();
    expect(asked.hash.digest("hex")).toBe(bodyDigest(200_000));
  });

  test("of an endpoint: the same for the body of a request", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.peer.credit = "connection";
    const poured = asked.pour(bodyBlocks(200_000));
    await got.received(65_535);
    got.peer.configure([settingIds.initialWindowSize, 10]);
    await got.peer.settled();
    got.allow(65_525);
    await got.peer.settled();
    expect(got.bytesReceived).toBe(65_535);
    got.allow(5);
    await got.received(65_540);
    got.peer.credit = "both";
    got.peer.configure([settingIds.initialWindowSize, 100_000]);
    await poured;
    await got.complete();
    expect(got.hash.digest("hex")).toBe(bodyDigest(200_000));
  });

  test("0 from the beginning: heads and empty bodies pass, bytes wait for credit", async () => {
    const trio = await startHttp2Trio({}, { client: { settings: [[settingIds.initialWindowSize, 0]] } });
    const empty = await exchange(trio);
    empty.got.respond(204);
    await empty.asked.complete();
    const { asked, got } = await exchange(trio);
    got.respond(200, "body");
    await asked.receivedHead();
    await trio.client.settled();
    expect(asked.bytesReceived).toBe(0);
    asked.allow(2);
    await asked.received(2);
    asked.allow(100);
    expect((await asked.complete()).body).toBe("body");
  });

  test.each(["the client", "the endpoint"])(
    "an empty end under a negative window of %s needs no credit",
    async (whose) => {
      const trio = await startHttp2Trio();
      const { asked, got } = await exchange(trio, post(), { endStream: false });
      got.head([[":status", "200"]]);
      const [sender, reader] = whose === "the client" ? [got, asked] : [asked, got];
      reader.peer.credit = "connection";
      sender.data("x".repeat(5000));
      await reader.received(5000);
      reader.peer.configure([settingIds.initialWindowSize, 100]);
      await reader.peer.settled();
      sender.end();
      expect((await reader.complete()).bytesReceived).toBe(5000);
    },
  );

  test("grown by it above 2^31-1 is a connection error (RFC 9113 §6.9.2)", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]);
    await asked.receivedHead();
    asked.allow(2 ** 31 - 1 - 65_535);
    trio.client.strict = false;
    trio.client.configure([settingIds.initialWindowSize, 65_536]);
    expect((await trio.client.goneAway()).code).toBe(codes.flowControlError);
  });
});

describe("SETTINGS_HEADER_TABLE_SIZE", () => {
  const fields: SentField[] = Array.from({ length: 20 }, (_, n) => [`x-field-${n}`, `value ${n}`.repeat(9), "indexed"]);

  test.each([0, 1, 64, 200, 4096, 1_000_000])("%i from the beginning, of either side", async (size) => {
    const settings: [number, number][] = [[settingIds.headerTableSize, size]];
    const trio = await startHttp2Trio({}, { client: { settings }, backend: { settings } });
    for (let n = 0; n < 5; n++) {
      const { asked, got } = await exchange(trio, get(`/${n}`, ...fields));
      for (const [name, value] of fields) expect(got.heads[0]?.get(name)).toBe(value);
      got.respond(200, "", ...fields);
      await asked.complete();
      for (const [name, value] of fields) expect(asked.heads[0]?.get(name)).toBe(value);
    }
    expect(trio.client.remoteTableBytes).toBeLessThanOrEqual(Math.max(size, 4096));
  });

  test("changed again and again while streams run, twice between two heads", async () => {
    const trio = await startHttp2Trio();
    const sizes = [4096, 100, 0, 2000, 0, 65_536, 300];
    for (const [n, size] of sizes.entries()) {
      const { asked, got } = await exchange(trio, get(`/${n}`, ...fields));
      got.peer.configure([settingIds.headerTableSize, size]);
      trio.client.configure([settingIds.headerTableSize, 50 * n]);
      trio.client.configure([settingIds.headerTableSize, size]);
      await Promise.all([got.peer.settled(), trio.client.settled()]);
      got.respond(200, "", ...fields);
      await asked.complete();
      for (const [name, value] of fields) expect(asked.heads[0]?.get(name)).toBe(value);
    }
  });

  test("a client's size update above what we allow is a compression error", async () => {
    const { client } = await startHttp2Trio();
    await client.settled();
    client.strict = false;
    client.block(1, Buffer.from([0x3f, 0xff, 0xff, 0x7f, 0x82, 0x84, 0x86]), { endStream: true });
    expect((await client.goneAway()).code).toBe(codes.compressionError);
  });
});

describe("SETTINGS_MAX_FRAME_SIZE", () => {
  test("larger frames may be used, 16,384 are always fine; a larger one than announced never comes", async () => {
    const settings: [number, number][] = [[settingIds.maxFrameSize, 100_000]];
    const trio = await startHttp2Trio({}, { client: { settings }, backend: { settings } });
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.head([[":status", "200"]]);
    await Promise.all([asked.pour(bodyBlocks(500_000)), got.pour(bodyBlocks(500_000))]);
    await Promise.all([asked.complete(), got.complete()]);
    expect(asked.hash.digest("hex")).toBe(bodyDigest(500_000));
    expect(got.hash.digest("hex")).toBe(bodyDigest(500_000));
  });

  test("a frame that is larger than what we have announced is a FRAME_SIZE_ERROR", async () => {
    const { client } = await startHttp2Trio();
    await client.settled();
    client.strict = false;
    const max = client.maxFrameBytes;
    client.request(post(), {}).data(Buffer.alloc(max + 1));
    const code = await client.until(() => client.goaways[0]?.code ?? client.stream(1).resetCode);
    expect(code).toBe(codes.frameSizeError);
  });
});

test("SETTINGS_MAX_HEADER_LIST_SIZE of a client is advice: a larger response head still arrives or is refused as a whole", async () => {
  const trio = await startHttp2Trio({}, { client: { settings: [[settingIds.maxHeaderListSize, 100]] } });
  const { asked, got } = await exchange(trio);
  got.respond(200, "ok", ["x-large", "x".repeat(500)]);
  await asked.over();
  const head = asked.heads[0];
  expect(head === undefined || head.status === 502 || head.get("x-large")?.length === 500).toBe(true);
  expect(trio.client.frames.filter(({ type }) => type === types.goaway)).toEqual([]);
});
