import { pipeline } from "node:stream/promises";
import { describe, expect, test } from "vitest";
import { connectHttp2, responseOf, send, startHttp2BodyApp, textOf } from "../support/http2-app.ts";
import { exchange, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { randomOf } from "../support/random.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest, bodyStream, streamDigest } from "../support/stream.ts";

const MIB = 1024 * 1024;

describeRelay("bodies of real clients and a real server arrive unchanged", (mode) => {
  test.each([0, 1, 16_384, MIB, 32 * MIB])("%i bytes each way, trailer included", async (length) => {
    const app = await startHttp2BodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const session = await connectHttp2(sidecar.port());
    const down = send(session, { ":path": `/${length}` });
    const trailers = new Promise((resolve) => down.once("trailers", resolve));
    const [head, received] = await Promise.all([responseOf(down), streamDigest(down)]);
    expect(head[":status"]).toBe(200);
    expect(received).toEqual({ digest: bodyDigest(length), length });
    expect(await trailers).toMatchObject({ "x-end": "1" });
    const up = send(session, { ":method": "POST" });
    bodyStream(length).pipe(up);
    expect(await textOf(up)).toBe(`${bodyDigest(length)} ${length}`);
  });

  test("many at once on few connections, echoed", async () => {
    const app = await startHttp2BodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const sessions = await Promise.all([1, 2, 3].map(() => connectHttp2(sidecar.port())));
    const lengths = Array.from({ length: 30 }, (_, n) => n * n * 1500 + n);
    const digests = lengths.map(async (length, n) => {
      const session = sessions[n % sessions.length];
      if (session === undefined) throw new Error("no session");
      const stream = send(session, { ":method": "POST", ":path": "/echo" });
      const [answer] = await Promise.all([streamDigest(stream), pipeline(bodyStream(length), stream)]);
      return answer;
    });
    expect(await Promise.all(digests)).toEqual(lengths.map((length) => ({ digest: bodyDigest(length), length })));
  });
});

describe("bodies in any segmentation", () => {
  test.each([1, 2, 3, 4, 5, 6])("of frames and of segments, both ways at once (seed %i)", async (seed) => {
    const random = randomOf(seed);
    const trio = await startHttp2Trio();
    const { client } = trio;
    // Segments from single bytes up to several frames; the heads are cut, too.
    const cut = (): number => [1, 5, 9, 10, 60, 700, 5000, 40_000][random(8)] ?? 1;
    client.segment = cut;
    const chop = function* (length: number): Generator<Buffer> {
      for (const block of bodyBlocks(length)) {
        for (let at = 0; at < block.length;) {
          const end = Math.min(block.length, at + 1 + random(9000));
          yield block.subarray(at, end);
          at = end;
        }
      }
    };
    const all: Promise<void>[] = [];
    for (let n = 0; n < 4; n++) {
      const { asked, got } = await exchange(trio, post(`/${n}`), { endStream: false });
      got.peer.segment ??= cut;
      got.head([[":status", "200"]]);
      const up = random(3) * random(60_000);
      const down = random(3) * random(60_000);
      const check = async (): Promise<void> => {
        await Promise.all([asked.pour(chop(up)), got.pour(chop(down)), asked.complete(), got.complete()]);
        expect(got.hash.digest("hex")).toBe(bodyDigest(up));
        expect(asked.hash.digest("hex")).toBe(bodyDigest(down));
      };
      all.push(check());
    }
    await Promise.all(all);
  });

  test("binary octets of every value, in frames of one byte", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    const octets = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    for (const octet of octets) asked.data(Buffer.of(octet));
    asked.end();
    expect((await got.complete()).bytes).toEqual(octets);
    got.head([[":status", "200"]]);
    for (const octet of octets) got.data(Buffer.of(octet));
    got.end();
    expect((await asked.complete()).bytes).toEqual(octets);
  });
});
