import { describe, expect, test } from "vitest";
import { Head, type SentField } from "../support/http2-hpack.ts";
import { exchange, get, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

/** Everything that may stand in a value (RFC 9110 §5.5), and what a table could mistake. */
const peculiar: SentField[] = [
  ["x-empty", ""],
  ["x-dup", "1"],
  ["cookie", "a=b"],
  ["x-dup", "2"],
  ["cookie", "c=d; e=f"],
  ["x-dup", "1"],
  ["accept", "*/*"],
  ["x-octets", Array.from({ length: 128 }, (_, n) => String.fromCharCode(128 + n)).join("")],
  ["x-inner", "a \t b"],
  ["!#$%&'*+-.^_`|~09az", "every token character"],
  ["grpc-trace-bin", "AAA/+=="],
  ["te", "trailers"],
  ["content-type", "application/octet-stream"],
  ["x-comma", "a,b, c ,,d"],
  ["cookie", "g=h"],
];
const plain = (fields: readonly SentField[]): (readonly [string, string])[] =>
  fields.map(([name, value]) => [name, value] as const);

describeRelay("fields (DESIGN §3.5)", (mode) => {
  test("of a request pass in their order, duplicates, cookies and odd octets included, and a Via is added", async () => {
    const trio = await startHttp2Trio(mode);
    const { got } = await exchange(trio, get("/a?b=%20&c", ...peculiar));
    const fields = got.heads[0]?.fields ?? [];
    const via = fields.filter(([name]) => name === "via");
    expect(via).toEqual([["via", expect.stringMatching(/^2(?:\.0)? sidelane-[0-9a-f]+-inbound$/)]]);
    expect(fields.filter(([name]) => name !== "via")).toEqual(plain(get("/a?b=%20&c", ...peculiar)));
  });

  test("of a response pass as they are, and nothing is added", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    const response: SentField[] = [
      ["server", "other"],
      ["date", "Mon, 23 Nov 2026 12:00:00 GMT"],
      ["set-cookie", "a=b; Path=/"],
      ["set-cookie", "c=d"],
      ...peculiar.filter(([name]) => name !== "te"),
    ];
    got.respond(200, "ok", ...response);
    await asked.complete();
    expect(asked.heads[0]?.fields).toEqual([[":status", "200"], ...plain(response)]);
    expect(asked.body).toBe("ok");
  });
});

describe("HPACK between two connections", () => {
  test("never-indexed fields stay never indexed (RFC 7541 §6.2.3), both ways, trailers too", async () => {
    const trio = await startHttp2Trio();
    const secret: SentField = ["x-secret", "s3cret", "never"];
    for (let n = 0; n < 3; n++) {
      const { asked, got } = await exchange(trio, get("/", secret, ["x-open", "1"]));
      expect(got.heads[0]?.neverIndexed).toContain("x-secret");
      expect(got.heads[0]?.neverIndexed).not.toContain("x-open");
      got
        .head([
          [":status", "200"],
          ["x-secret", "s3cret", "never"],
        ])
        .data("x");
      got.head([["x-secret-end", "s3cret", "never"]], { endStream: true });
      await asked.complete();
      expect(asked.heads[0]?.neverIndexed).toEqual(["x-secret"]);
      expect(asked.heads[1]?.neverIndexed).toEqual(["x-secret-end"]);
    }
  });

  test("what was sent without indexing on one connection is not put into another's table", async () => {
    const trio = await startHttp2Trio();
    const heads: Head[] = [];
    for (let n = 0; n < 2; n++) {
      const { asked, got } = await exchange(trio, get("/", ["authorization", `Bearer ${n}`], ["cookie", "short=1"]));
      heads.push(got.heads[0] ?? new Head());
      got.respond(204);
      await asked.complete();
    }
    expect(heads.map((head) => head.get("authorization"))).toEqual(["Bearer 0", "Bearer 1"]);
    // Their octets are on the wire each time: no reference to a table.
    const frames = trio.backend.connections.flatMap(({ frames: all }) => all.filter(({ type }) => type === 1));
    expect(frames).toHaveLength(2);
  });

  test("a dynamic table full of changing fields keeps every stream's own values", async () => {
    const trio = await startHttp2Trio();
    for (let n = 0; n < 300; n++) {
      const fields: SentField[] = [
        ["x-constant", "always the same", "indexed"],
        ["x-changing", `${n}`.repeat(1 + (n % 90)), "indexed"],
        [`x-name-${n % 40}`, `${n % 7}`, "indexed"],
        ["traceparent", `00-${n}`, "indexed"],
      ];
      const { asked, got } = await exchange(trio, get(`/${n}`, ...fields));
      for (const [name, value] of fields) expect(got.heads[0]?.get(name)).toBe(value);
      expect(got.heads[0]?.get(":path")).toBe(`/${n}`);
      got.respond(200, "", ...fields);
      await asked.complete();
      for (const [name, value] of fields) expect(asked.heads[0]?.get(name)).toBe(value);
    }
  });

  test("repeated heads shrink: what recurs is indexed", async () => {
    const trio = await startHttp2Trio();
    const fields: SentField[] = Array.from({ length: 10 }, (_, n) => [`x-field-${n}`, "v".repeat(40), "indexed"]);
    const sizes: number[] = [];
    for (let n = 0; n < 3; n++) {
      const { asked, got } = await exchange(trio, get("/", ...fields));
      got.respond(200, "", ...fields);
      await asked.complete();
      const head = trio.client.frames.filter(({ type }) => type === 1).at(-1);
      sizes.push(head?.payload.length ?? 0);
    }
    expect(sizes[0]).toBeGreaterThan(400);
    expect(sizes[2]).toBeLessThan(100);
  });
});
