// The raw peers of these tests against node:http2, so that what they say of the relay can be believed.
import { describe, expect, test } from "vitest";
import { codes } from "../support/http2-frames.ts";
import {
  connectHttp2,
  fetchHttp2,
  responseOf,
  send,
  startHelloApp,
  startHttp2App,
  startHttp2BodyApp,
} from "../support/http2-app.ts";
import { startHttp2Answering, startHttp2Backend } from "../support/http2-backend.ts";
import { Http2Peer } from "../support/http2-peer.ts";
import { get, post } from "../support/http2-sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const portOf = (name: string): number => Number(name.split(":")[1]);

describe("the raw client before node:http2", () => {
  test("gets heads, bodies and trailers", async () => {
    const app = await startHttp2BodyApp();
    const client = await Http2Peer.connect(portOf(app.name), { connectionCredit: 1_000_000 });
    const stream = await client.request(get("/200000")).complete();
    expect(stream.hash.digest("hex")).toBe(bodyDigest(200_000));
    expect(stream.heads.map((head) => head.get(":status") ?? head.get("x-end"))).toEqual(["200", "1"]);
    await client.settled();
    expect(client.settingsAcks).toBe(1);
  });

  test("sends bodies as the windows allow", async () => {
    const app = await startHttp2BodyApp();
    const client = await Http2Peer.connect(portOf(app.name));
    const stream = client.request(post(), {});
    await stream.pour(bodyBlocks(3_000_000));
    expect((await stream.complete()).body).toBe(`${bodyDigest(3_000_000)} 3000000`);
  });

  test("byte by byte, with padding and in pieces", async () => {
    const app = await startHelloApp();
    const client = await Http2Peer.connect(portOf(app.name));
    client.segment = () => 1;
    const stream = client.request(get("/", ["x-a", "b", "indexed"], ["x-a", "c", "never"]), {
      endStream: true,
      splitBytes: 10,
      padBytes: 7,
    });
    expect((await stream.complete()).body).toBe("hello");
  });
});

describe("the raw server behind node:http2", () => {
  test("gets heads and bodies, and answers", async () => {
    const backend = await startHttp2Backend();
    const session = await connectHttp2(backend.port);
    const stream = send(session, { ":method": "POST", cookie: "a=b", authorization: "secret" });
    stream.end("body");
    const got = await (await backend.next()).complete();
    expect(got.body).toBe("body");
    expect(got.heads[0]?.get("cookie")).toBe("a=b");
    expect(got.heads[0]?.neverIndexed).toContain("authorization");
    got.head([
      [":status", "103"],
      ["link", "</a>"],
    ]);
    got.respond(200, "answer");
    expect((await responseOf(stream))[":status"]).toBe(200);
  });

  test("resets, and says who is refused", async () => {
    const backend = await startHttp2Answering((stream) => stream.reset(codes.refusedStream));
    const session = await connectHttp2(backend.port);
    await expect(fetchHttp2(session)).rejects.toThrow(/REFUSED_STREAM/);
  });

  test("hears of a reset", async () => {
    const backend = await startHttp2Backend();
    const session = await connectHttp2(backend.port);
    const stream = send(session);
    stream.on("error", () => {});
    const got = await backend.next();
    stream.close(codes.cancel);
    expect(await got.wasReset()).toBe(codes.cancel);
  });
});

test("the oracle sees a window that is exceeded", async () => {
  const app = await startHttp2App((stream) => {
    stream.respond({ ":status": 200 });
    stream.end("x".repeat(100_000));
  });
  const client = await Http2Peer.connect(portOf(app.name));
  client.credit = "none";
  // As if less had been allowed than was.
  client.receiveWindow = 1000;
  client.strict = false;
  await client.request(get()).received(2000);
  client.strict = true;
  expect(() => client.expectSound()).toThrow(/beyond the connection's window/);
  client.strict = false;
});
