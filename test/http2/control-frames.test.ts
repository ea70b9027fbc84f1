// Frames of the connection, not of a stream: answered or ignored, never forwarded.
import { describe, expect, test } from "vitest";
import { codes, flags, frame, numberFrame, priorityPayload, settingIds, types } from "../support/http2-frames.ts";
import { connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

describeRelay("PING", (mode) => {
  test("is answered with the same octets, on both sides, while streams are busy", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    got.head([[":status", "200"]]).data("x".repeat(16_000));
    for (const peer of [trio.client, got.peer]) {
      peer.ping("abcdefgh");
      const pong = await peer.until(() =>
        peer.frames.find(({ type, flags: set }) => type === types.ping && set === flags.ack),
      );
      expect(pong.payload.toString()).toBe("abcdefgh");
    }
    asked.end();
    got.end();
    await asked.complete();
    // It is an affair of one connection.
    const pings = [...trio.client.frames, ...got.peer.frames].filter(
      ({ type, flags: set }) => type === types.ping && set === 0,
    );
    expect(pings).toEqual([]);
  });

  test("an acknowledgement is not answered", async () => {
    const { client } = await startHttp2Trio(mode);
    client.ping("12345678", true);
    await client.settled();
    expect(client.pongs).toBe(1);
  });

  test("of our own finds out that an endpoint is dead, and the request gets an answer", async () => {
    const trio = await startHttp2Trio({ ...mode, timeouts: { http2PingMs: 200, http2PingTimeoutMs: 200 } });
    const { asked, got } = await exchange(trio, post());
    got.peer.acknowledges = false;
    got.peer.strict = false;
    await got.peer.until(() => got.peer.frames.find(({ type, flags: set }) => type === types.ping && set === 0));
    const head = await asked.receivedHead();
    expect([head.status, head.get("server")]).toEqual([502, "sidelane"]);
    expect(await got.peer.ended()).toMatch(/fin|reset/);
  });

  test("of our own that is answered changes nothing", async () => {
    const trio = await startHttp2Trio({ ...mode, timeouts: { http2PingMs: 200, http2PingTimeoutMs: 200 } });
    const { asked, got } = await exchange(trio);
    const pings = (): number =>
      got.peer.frames.filter(({ type, flags: set }) => type === types.ping && set === 0).length;
    await got.peer.until(() => (pings() >= 3 ? true : undefined));
    got.respond(200, "slow");
    expect((await asked.complete()).body).toBe("slow");
  });
});

describe("SETTINGS", () => {
  test("are sent first, acknowledged, and say what the limits say", async () => {
    const trio = await startHttp2Trio({ limits: { http2StreamsMax: 7 } });
    const { got } = await exchange(trio);
    await trio.client.settled();
    expect(trio.client.settingsAcks).toBe(1);
    expect(trio.client.settings.get(settingIds.maxConcurrentStreams)).toBe(7);
    // No server push: it is obsolete in practice, and a relay could not do anything with it (RFC 9113 §6.5.2).
    expect(got.peer.settings.get(settingIds.enablePush)).toBe(0);
    expect(got.peer.settingsAcks).toBe(1);
  });

  test("unknown ones are ignored, changes acknowledged one by one", async () => {
    const { client } = await startHttp2Trio();
    client.configure([0x99, 1], [settingIds.maxHeaderListSize, 1_000_000]);
    client.configure();
    client.configure([settingIds.initialWindowSize, 1], [settingIds.initialWindowSize, 70_000]);
    await client.until(() => (client.settingsAcks === 4 ? true : undefined));
    expect(client.goaways).toEqual([]);
  });

  test.each([
    ["ENABLE_PUSH 2", [settingIds.enablePush, 2], codes.protocolError],
    ["INITIAL_WINDOW_SIZE above 2^31-1", [settingIds.initialWindowSize, 2 ** 31], codes.flowControlError],
    ["MAX_FRAME_SIZE below 2^14", [settingIds.maxFrameSize, 16_383], codes.protocolError],
    ["MAX_FRAME_SIZE above 2^24-1", [settingIds.maxFrameSize, 2 ** 24], codes.protocolError],
  ] as const)("%s ends the connection", async (_, setting, code) => {
    const { client } = await startHttp2Trio();
    client.strict = false;
    client.configure(setting);
    expect((await client.goneAway()).code).toBe(code);
    await client.ended();
  });

  test("an endpoint's bad setting ends its connection; its requests get an answer, others go on", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.peer.strict = false;
    got.peer.configure([settingIds.maxFrameSize, 1]);
    expect((await got.peer.goneAway()).code).toBe(codes.protocolError);
    expect((await asked.receivedHead()).status).toBe(502);
    const next = await exchange(trio);
    next.got.respond(204);
    await next.asked.complete();
  });
});

describe("what a relay has no use for", () => {
  test("priorities are ignored and not forwarded, on idle, open and closed streams", async () => {
    const trio = await startHttp2Trio();
    const { client } = trio;
    const got = trio.backend.next();
    client.send(frame(types.priority, 0, 9, priorityPayload(0, 200)));
    const asked = client.request(get(), { endStream: true, priority: priorityPayload(7, 3) });
    client.send(frame(types.priority, 0, asked.id, priorityPayload(0x80000000 + 5, 1)));
    (await got).respond(204);
    await asked.complete();
    client.send(frame(types.priority, 0, asked.id, priorityPayload(0, 1)));
    await client.settled();
    const forwarded = (await got).peer.frames.filter(
      ({ type, flags: set }) => type === types.priority || (type === types.headers && (set & flags.priority) !== 0),
    );
    expect(forwarded).toEqual([]);
  });

  test("unknown frames, unknown flags and the reserved bit are ignored (RFC 9113 §4.1, §5.5)", async () => {
    const trio = await startHttp2Trio();
    const { client } = trio;
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    client.send(frame(0x42, 0xff, 0, Buffer.alloc(100)), frame(0x42, 0xff, asked.id, Buffer.alloc(100)));
    got.peer.send(frame(0x42, 0xff, 0, Buffer.alloc(100)), frame(0x42, 0xff, got.id));
    const reserved = frame(types.data, 0xf6, asked.id, Buffer.from("x"));
    reserved[5] = 0x80;
    client.send(reserved);
    asked.end();
    expect((await got.complete()).body).toBe("x");
    got.respond(204);
    await asked.complete();
  });

  test("PUSH_PROMISE, of a client or of an endpoint, is a connection error", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.peer.strict = false;
    got.peer.send(frame(types.pushPromise, flags.endHeaders, got.id, Buffer.of(0, 0, 0, 2, 0x82)));
    expect((await got.peer.goneAway()).code).toBe(codes.protocolError);
    expect((await asked.receivedHead()).status).toBe(502);
    const client = await connectTo(trio.sidecar);
    client.strict = false;
    client.send(frame(types.pushPromise, flags.endHeaders, 1, Buffer.of(0, 0, 0, 2, 0x82)));
    expect((await client.goneAway()).code).toBe(codes.protocolError);
  });

  test("WINDOW_UPDATE and RST_STREAM on a stream that has just ended are ignored", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.respond(200, "ok");
    await asked.complete();
    trio.client.send(numberFrame(types.windowUpdate, asked.id, 10), numberFrame(types.rstStream, asked.id, 8));
    got.peer.send(numberFrame(types.windowUpdate, got.id, 10), numberFrame(types.rstStream, got.id, 0));
    await trio.client.settled();
    await got.peer.settled();
    expect([...trio.client.goaways, ...got.peer.goaways]).toEqual([]);
  });
});
