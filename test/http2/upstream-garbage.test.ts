// An endpoint that does not speak HTTP/2, or speaks it badly: its requests get an answer of ours, its connection ends,
// clients and their other requests notice nothing.
import { describe, expect, test } from "vitest";
import { startBackend } from "../support/backend.ts";
import { codes, flags, frame, numberFrame, settingsFrame, types, goawayFrame } from "../support/http2-frames.ts";
import { type SentField, indexed, literal } from "../support/http2-hpack.ts";
import { connectTo, exchange, get, startHttp2Trio } from "../support/http2-sidecar.ts";
import type { PeerStream } from "../support/http2-stream.ts";
import { startSidecar } from "../support/sidecar.ts";

describe("an endpoint that does not speak HTTP/2", () => {
  test.each([
    ["HTTP/1.1", "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"],
    ["zeros", "\0".repeat(100)],
    ["random text", "SSH-2.0-OpenSSH_9.2p1\r\n"],
    ["another frame first", frame(types.ping, 0, 0, Buffer.alloc(8)).toString("latin1")],
    ["SETTINGS with an impossible length", frame(types.settings, 0, 0, Buffer.alloc(5)).toString("latin1")],
    ["nothing, and closes", ""],
  ])("%s", async (_, bytes) => {
    const backend = await startBackend();
    const sidecar = await startSidecar({ target: backend.name });
    const client = await connectTo(sidecar);
    const asked = client.request(get());
    const peer = await backend.accept();
    peer.send(bytes);
    if (bytes === "") {
      await peer.until("PRI * HTTP/2.0");
      peer.finish();
    }
    // A GET may be tried once more; the second connection is as bad as the first.
    const again = async (): Promise<void> => {
      const second = await backend.accept();
      second.send(bytes);
      second.finish();
    };
    void again();
    expect((await asked.complete()).heads[0]?.status).toBe(502);
    expect(client.goaways).toEqual([]);
    await peer.ended();
  });
});

const bad: [string, (got: PeerStream) => void, number?][] = [
  ["no :status", ({ peer, id }) => peer.head(id, [["x-a", "b"]])],
  [
    "two :status",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        [":status", "200"],
      ]),
  ],
  [
    "a pseudo field of requests",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        [":path", "/"],
      ]),
  ],
  [
    "a pseudo field behind a field",
    ({ peer, id }) =>
      peer.head(id, [
        ["x-a", "b"],
        [":status", "200"],
      ]),
  ],
  ["a status that is none", ({ peer, id }) => peer.head(id, [[":status", "20"]])],
  [
    "an upper case name",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["X-Upper", "1"],
      ]),
  ],
  [
    "a line break in a value",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["x-a", "b\r\nx-evil: 1"],
      ]),
  ],
  [
    "a NUL in a value",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["x-a", "b\0c"],
      ]),
  ],
  [
    "a blank before a value",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["x-a", " b"],
      ]),
  ],
  [
    "a colon in a name",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["x:a", "b"],
      ]),
  ],
  [
    "connection: close",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["connection", "close"],
      ]),
  ],
  [
    "transfer-encoding",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["transfer-encoding", "chunked"],
      ]),
  ],
  [
    "two lengths",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["content-length", "1"],
        ["content-length", "2"],
      ]),
  ],
  [
    "a length that is none",
    ({ peer, id }) =>
      peer.head(id, [
        [":status", "200"],
        ["content-length", "+1"],
      ]),
  ],
  ["DATA before the head", ({ peer, id }) => peer.data(id, "x")],
];

describe("a malformed response (RFC 9113 §8.1.1) is answered with 502, and the connection stays", () => {
  test.each(bad)("%s", async (_, misbehave) => {
    const trio = await startHttp2Trio();
    const neighbour = await exchange(trio, get("/neighbour"));
    const { asked, got } = await exchange(trio);
    misbehave(got);
    const head = await asked.receivedHead();
    expect([head.status, head.get("server")]).toEqual([502, "sidelane"]);
    await asked.complete();
    expect(JSON.parse(asked.body)).toMatchObject({ reason: "upstream-protocol-error" });
    expect(await got.wasReset()).toBe(codes.protocolError);
    neighbour.got.respond(200, "ok");
    expect((await neighbour.asked.complete()).body).toBe("ok");
  });
});

const fatal: [string, (got: PeerStream) => void, number][] = [
  [
    "a broken block",
    ({ peer, id }) => peer.block(id, Buffer.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)),
    codes.compressionError,
  ],
  ["an index that is nowhere", ({ peer, id }) => peer.block(id, indexed(62)), codes.compressionError],
  ["index 0", ({ peer, id }) => peer.block(id, Buffer.of(0x80)), codes.compressionError],
  [
    "a block that ends within a string",
    ({ peer, id }) => peer.block(id, literal(["x", "yyyy"]).subarray(0, 5)),
    codes.compressionError,
  ],
  [
    "HEADERS on stream 0",
    ({ peer }) => peer.send(frame(types.headers, flags.endHeaders, 0, indexed(8))),
    codes.protocolError,
  ],
  ["DATA on stream 0", ({ peer }) => peer.send(frame(types.data, 0, 0, Buffer.alloc(1))), codes.protocolError],
  [
    "HEADERS on a stream that nobody opened",
    ({ peer }) => peer.send(frame(types.headers, 4, 99, indexed(8))),
    codes.protocolError,
  ],
  ["HEADERS on an even stream", ({ peer }) => peer.send(frame(types.headers, 4, 2, indexed(8))), codes.protocolError],
  ["DATA on a stream that nobody opened", ({ peer }) => peer.send(frame(types.data, 0, 99)), codes.protocolError],
  [
    "RST_STREAM on a stream that nobody opened",
    ({ peer }) => peer.send(numberFrame(types.rstStream, 99, 0)),
    codes.protocolError,
  ],
  [
    "RST_STREAM of three bytes",
    ({ peer, id }) => peer.send(frame(types.rstStream, 0, id, Buffer.alloc(3))),
    codes.frameSizeError,
  ],
  ["PING of seven bytes", ({ peer }) => peer.send(frame(types.ping, 0, 0, Buffer.alloc(7))), codes.frameSizeError],
  ["PING on a stream", ({ peer, id }) => peer.send(frame(types.ping, 0, id, Buffer.alloc(8))), codes.protocolError],
  ["SETTINGS on a stream", ({ peer, id }) => peer.send(frame(types.settings, 0, id)), codes.protocolError],
  [
    "an acknowledgement with a payload",
    ({ peer }) => peer.send(frame(types.settings, 1, 0, Buffer.alloc(6))),
    codes.frameSizeError,
  ],
  ["CONTINUATION out of nowhere", ({ peer, id }) => peer.send(frame(types.continuation, 4, id)), codes.protocolError],
  [
    "more padding than payload",
    ({ peer, id }) => peer.send(frame(types.data, flags.padded, id, Buffer.of(9, 1))),
    codes.protocolError,
  ],
  ["GOAWAY on a stream", ({ peer, id }) => peer.send(frame(types.goaway, 0, id, Buffer.alloc(8))), codes.protocolError],
  ["ENABLE_PUSH of a server", ({ peer }) => peer.send(settingsFrame([2, 1])), codes.protocolError],
  [
    "DATA beyond the connection's window",
    ({ peer, id }) => {
      peer.head(id, [[":status", "200"]]);
      for (let n = 0; n < 1500; n++) peer.data(id, Buffer.alloc(16_384));
    },
    codes.flowControlError,
  ],
];

describe("what breaks an upstream connection breaks no other", () => {
  test.each(fatal)("%s", async (_, misbehave, code) => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.peer.strict = false;
    trio.client.credit = "connection";
    misbehave(got);
    await asked.over();
    expect(asked.resetCode !== undefined || asked.heads[0]?.status === 502).toBe(true);
    expect(trio.client.goaways).toEqual([]);
    const said = got.peer.goaways[0]?.code ?? got.resetCode;
    // The flow-control error may be one of the stream or of the connection; the others are the connection's.
    expect(said ?? code).toBe(code);
    const next = await exchange(trio);
    next.got.respond(200, "ok");
    expect((await next.asked.complete()).body).toBe("ok");
  });

  test("GOAWAY with an odd last id, twice, and requests that come meanwhile", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio);
    got.peer.send(goawayFrame(got.id, 0), goawayFrame(got.id, 0));
    got.respond(200, "ok");
    expect((await asked.complete()).body).toBe("ok");
    const next = await exchange(trio, get("/", ["x-after", "goaway"] as SentField));
    next.got.respond(204);
    await next.asked.complete();
  });
});
