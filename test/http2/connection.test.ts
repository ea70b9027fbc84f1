// What a connection goes through at its beginning, in its middle and near the end of its ids.
import { describe, expect, test } from "vitest";
import { connectHttp2, send, startHelloApp, startHttp2BodyApp, textOf } from "../support/http2-app.ts";
import { PREFACE, codes, flags, frame, settingIds, types } from "../support/http2-frames.ts";
import { connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest, bodyStream } from "../support/stream.ts";

describeRelay("the beginning", (mode) => {
  test.each([1, 3, 7, 16, 24, 25, 33])("preface and first request in segments of %i bytes", async (size) => {
    const app = await startHelloApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const client = await connectTo(sidecar, { segment: () => size });
    const asked = client.request(get());
    expect((await asked.complete()).body).toBe("hello");
  });

  test("everything in one segment, with a body", async () => {
    const app = await startHttp2BodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const client = await connectTo(sidecar, { preface: false });
    client.socket.cork();
    client.send(PREFACE);
    client.configure([settingIds.initialWindowSize, 100_000]);
    const asked = client.request(post("/echo"), {}).data("body").data("body", { endStream: true });
    client.socket.uncork();
    expect((await asked.complete()).body).toBe("bodybody");
  });

  test("a client that does not wait for our SETTINGS may use the windows of the protocol's default", async () => {
    // What it sends before it can know of smaller windows is no fault of its own (RFC 9113 §6.9.2).
    const app = await startHttp2BodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name, limits: { http2StreamWindowBytes: 16_384 } });
    const client = await connectTo(sidecar, { preface: false });
    const [block = Buffer.alloc(0)] = bodyBlocks(60_000);
    client.socket.cork();
    client.send(PREFACE);
    client.configure();
    const asked = client.request(post("/echo"), {});
    for (let at = 0; at < 60_000; at += 15_000) asked.data(block.subarray(at, at + 15_000));
    client.socket.uncork();
    await asked.received(60_000);
    asked.end();
    expect((await asked.complete()).bytes.equals(block)).toBe(true);
  });

  test("garbage after the preface, or another preface, ends it with PROTOCOL_ERROR or as what it is", async () => {
    const app = await startHelloApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    for (const bytes of [Buffer.concat([PREFACE, PREFACE]), Buffer.concat([PREFACE, Buffer.alloc(100)])]) {
      const client = await connectTo(sidecar, { preface: false });
      client.strict = false;
      client.send(bytes);
      expect([codes.protocolError, codes.frameSizeError]).toContain((await client.goneAway()).code);
      await client.ended();
    }
  });
});

describeRelay("small windows of our own", (mode) => {
  test("limits.http2StreamWindowBytes at its least: bodies arrive whole both ways", async () => {
    const app = await startHttp2BodyApp();
    const limits = {
      http2StreamWindowBytes: 16_384,
      http2StreamWindowBytesMax: 16_384,
      http2ConnectionWindowBytes: 65_536,
    };
    const sidecar = await startSidecar({ ...mode, target: app.name, limits });
    const session = await connectHttp2(sidecar.port());
    const length = 3_000_000;
    const up = send(session, { ":method": "POST" });
    bodyStream(length).pipe(up);
    expect(await textOf(up)).toBe(`${bodyDigest(length)} ${length}`);
    const client = await connectTo(sidecar);
    const down = await client.request(get(`/${length}`)).complete();
    expect(down.hash.digest("hex")).toBe(bodyDigest(length));
  });
});

describe("a DATA frame whose stream goes away in its middle", () => {
  test.each(["the endpoint resets", "the client resets another stream", "the endpoint answers at once"])(
    "%s: the rest of the frame is dropped or delivered, the connection stays in step",
    async (how) => {
      const trio = await startHttp2Trio();
      const { client } = trio;
      const other = await exchange(trio, post("/other"), { endStream: false });
      const { asked, got } = await exchange(trio, post(), { endStream: false });
      const whole = frame(
        types.data,
        flags.padded,
        asked.id,
        Buffer.concat([Buffer.of(50), Buffer.alloc(9000, "x"), Buffer.alloc(50)]),
      );
      client.send(whole.subarray(0, 4000));
      await got.received(3000);
      if (how === "the endpoint resets") {
        got.reset();
        await asked.wasReset();
      } else if (how === "the client resets another stream") {
        // Not now: a frame must not stand within a frame. The other stream's endpoint does.
        other.got.reset();
        await other.asked.wasReset();
      } else {
        got.respond(200, "early");
        await asked.complete();
      }
      client.send(whole.subarray(4000, 8990));
      client.send(whole.subarray(8990));
      const next = await exchange(trio, get("/next"));
      next.got.respond(200, "ok");
      expect((await next.asked.complete()).body).toBe("ok");
      if (how !== "the endpoint resets") {
        await got.received(9000);
        expect(got.body).toBe("x".repeat(9000));
      }
      expect(client.goaways).toEqual([]);
    },
  );

  test("the endpoint's connection ends within its frame: the client gets whole frames and a reset", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]);
    got.peer.send(frame(types.data, 0, got.id, Buffer.alloc(9000, "x")).subarray(0, 5000));
    await asked.received(4991);
    got.peer.abort();
    await asked.wasReset();
    expect(asked.ended).toBe(false);
    const next = await exchange(trio);
    next.got.respond(204);
    await next.asked.complete();
    expect(trio.client.goaways).toEqual([]);
  });
});

describe("stream ids", () => {
  test("may skip, and may be the last one there is; then the connection takes no more", async () => {
    const trio = await startHttp2Trio();
    const { client } = trio;
    for (const id of [7, 1001, 2 ** 31 - 1]) {
      client.nextId = id;
      const { asked, got } = await exchange(trio);
      got.respond(200, `${id}`);
      expect((await asked.complete()).body).toBe(`${id}`);
    }
    // Ids of its own go on one by one towards the endpoint.
    expect([...(trio.backend.connections[0]?.streams.keys() ?? [])]).toEqual([1, 3, 5]);
  });

  test("that were skipped are closed (RFC 9113 §5.1.1)", async () => {
    const trio = await startHttp2Trio();
    const { client } = trio;
    client.nextId = 9;
    const { asked, got } = await exchange(trio);
    got.respond(204);
    await asked.complete();
    client.strict = false;
    client.head(3, get(), { endStream: true });
    expect([codes.protocolError, codes.streamClosed]).toContain((await client.goneAway()).code);
  });
});

describe("a client that says nothing", () => {
  test("without requests: GOAWAY and an end after timeouts.idleMs", async () => {
    const trio = await startHttp2Trio({ timeouts: { idleMs: 400 } });
    const { asked, got } = await exchange(trio);
    got.respond(204);
    await asked.complete();
    expect((await trio.client.goneAway()).code).toBe(codes.noError);
    expect(await trio.client.ended()).toBe("fin");
  });

  test("with a request, and deaf to PING: it is dead, and the endpoint hears of it", async () => {
    const trio = await startHttp2Trio({ timeouts: { http2PingMs: 200, http2PingTimeoutMs: 200 } });
    const { got } = await exchange(trio);
    trio.client.acknowledges = false;
    expect(await got.wasReset()).toBe(codes.cancel);
    expect(await trio.client.ended()).toMatch(/fin|reset/);
    expect(got.peer.goaways).toEqual([]);
  });
});
