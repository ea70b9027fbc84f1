// Fields that have to wait: for a connection, for another attempt, behind a body. Meanwhile tables, slabs and blocks
// are used for hundreds of other heads, and nothing of those may show.
import { expect, test } from "vitest";
import { codes, settingIds } from "../support/http2-frames.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { type Exchange, connectTo, exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

const how = (n: number): "indexed" | "never" | "plain" => (n % 3 === 0 ? "indexed" : n % 3 === 1 ? "never" : "plain");

/** Fields that no other number has, some of them larger than what a table keeps. */
function fieldsOf(n: number): SentField[] {
  return [
    [`x-name-${n}`, `value of ${n}`, how(n)],
    ["x-shared", `${n}`.repeat(1 + (n % 300)), how(n + 1)],
    ["x-large", String.fromCharCode(97 + (n % 26)).repeat(n % 7 === 0 ? 5000 : 50) + n, how(n + 2)],
    ["cookie", `id=${n}`],
    ["traceparent", `00-${n}`, "indexed"],
  ];
}

/** The same without what has no place in trailers (RFC 9110 §6.5.1). */
const trailersOf = (n: number): SentField[] => fieldsOf(n).filter(([name]) => name !== "cookie");

const plain = (fields: readonly SentField[]): (readonly [string, string])[] =>
  fields.map(([name, value]) => [name, value] as const);

/** Makes tables and slabs turn over. */
async function disturb(trio: Parameters<typeof exchange>[0], rounds: number): Promise<void> {
  for (let n = 0; n < rounds; n++) {
    const other = await exchange(trio, get(`/other/${n}`, ...fieldsOf(1000 + n)));
    other.got.respond(200, "", ...fieldsOf(2000 + n));
    await other.asked.complete();
  }
}

describeRelay("fields that wait stay as they came", (mode) => {
  test("requests that wait for a connection", async () => {
    const settings: [number, number][] = [[settingIds.maxConcurrentStreams, 1]];
    const trio = await startHttp2Trio({ ...mode, limits: { upstreamConnectionsMax: 1 } }, { backend: { settings } });
    const first = await exchange(trio);
    const clients = [trio.client, await connectTo(trio.sidecar)];
    const asked = Array.from({ length: 150 }, (_, n) =>
      (clients[n % 2] ?? trio.client).request(get(`/${n}`, ...fieldsOf(n))),
    );
    for (const client of clients) await client.settled();
    first.got.respond(204);
    for (let count = 0; count < asked.length; count++) {
      const got = await trio.backend.next();
      const n = Number(got.heads[0]?.get(":path")?.slice(1));
      expect(got.heads[0]?.fields.filter(([name]) => name !== "via")).toEqual(plain(get(`/${n}`, ...fieldsOf(n))));
      got.respond(200, `${n}`, ...fieldsOf(n));
    }
    for (const [n, stream] of asked.entries()) {
      expect((await stream.complete()).body).toBe(`${n}`);
      expect(stream.heads[0]?.fields.slice(1)).toEqual(plain(fieldsOf(n)));
    }
  });

  test("a request that is refused after hundreds of others, and sent again", async () => {
    const trio = await startHttp2Trio(mode);
    const fields = post("/kept", ...fieldsOf(7));
    const { asked, got } = await exchange(trio, fields, { endStream: false });
    asked.data("body").head(trailersOf(14), { endStream: true });
    await got.complete();
    await disturb(trio, 150);
    const again = trio.backend.next();
    got.reset(codes.refusedStream);
    const second = await (await again).complete();
    expect(second.heads[0]?.fields).toEqual(got.heads[0]?.fields);
    expect(second.heads[0]?.fields.filter(([name]) => name !== "via")).toEqual(plain(fields));
    expect(second.body).toBe("body");
    expect(second.heads[1]?.fields).toEqual(plain(trailersOf(14)));
    second.respond(204);
    await asked.complete();
  });

  test("trailers behind bodies that wait for a window, both ways", async () => {
    const trio = await startHttp2Trio(mode);
    const { client } = trio;
    client.credit = "connection";
    const all: Exchange[] = [];
    for (let n = 0; n < 40; n++) {
      const one = await exchange(trio, post(`/${n}`), { endStream: false });
      one.got.peer.credit = "connection";
      one.got.head([[":status", "200"]]);
      all.push(one);
      await one.asked.pour([Buffer.alloc(70_000, n)], { endStream: false });
      await one.got.pour([Buffer.alloc(70_000, n)], { endStream: false });
      one.asked.head(trailersOf(n), { endStream: true });
      one.got.head(trailersOf(100 + n), { endStream: true });
    }
    const neighbour = await connectTo(trio.sidecar);
    await disturb({ client: neighbour, backend: trio.backend }, 100);
    for (const [n, { asked, got }] of all.entries()) {
      expect([asked.ended, got.ended]).toEqual([false, false]);
      asked.allow(100_000);
      got.allow(100_000);
      await Promise.all([asked.complete(), got.complete()]);
      expect(got.bytes.equals(Buffer.alloc(70_000, n))).toBe(true);
      expect(asked.bytes.equals(Buffer.alloc(70_000, n))).toBe(true);
      expect(got.heads[1]?.fields).toEqual(plain(trailersOf(n)));
      expect(asked.heads[1]?.fields).toEqual(plain(trailersOf(100 + n)));
    }
  });
});
