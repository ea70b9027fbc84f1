import { expect, test } from "vitest";
import type { SentField } from "../support/http2-hpack.ts";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

const trailers: SentField[] = [
  ["grpc-status", "0"],
  ["grpc-message", "fine%20%E2%82%AC"],
  ["x-bin", "AAEC"],
  ["x-bin", "AwQF"],
];
const plain = trailers.map(([name, value]) => [name, value]);

describeRelay("trailers", (mode) => {
  test("of a request", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    asked.data("body").head(trailers, { endStream: true });
    await got.complete();
    expect(got.body).toBe("body");
    expect(got.heads[1]?.fields).toEqual(plain);
    got.respond(200, "ok");
    await asked.complete();
  });

  test("what has no place in them is taken out (RFC 9110 §6.5.1): framing, routing, secrets", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post(), { endStream: false });
    const forbidden: SentField[] = [
      ["host", "evil"],
      ["content-length", "4"],
      ["authorization", "Bearer evil"],
      ["cookie", "a=evil"],
    ];
    asked.data("body").head([...forbidden, ["baggage", "sidelane=evil"], ...trailers], { endStream: true });
    await got.complete();
    expect(got.heads[1]?.fields).toEqual(plain);
    got
      .head([[":status", "200"]])
      .data("ok")
      .head([...forbidden, ...trailers], { endStream: true });
    await asked.complete();
    expect(asked.heads[1]?.fields).toEqual(plain);
  });

  test("of a response, with a body and without", async () => {
    const trio = await startHttp2Trio(mode);
    for (const body of ["body", ""]) {
      const { asked, got } = await exchange(trio);
      got.head([[":status", "200"]]);
      if (body !== "") got.data(body);
      got.head(trailers, { endStream: true });
      await asked.complete();
      expect(asked.body).toBe(body);
      expect(asked.heads.map(({ fields }) => fields)).toEqual([[[":status", "200"]], plain]);
    }
  });

  test("alone in the head: a gRPC answer without a message", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"], ...trailers], { endStream: true });
    await asked.complete();
    expect(asked.heads).toHaveLength(1);
    expect(asked.heads[0]?.endStream).toBe(true);
    expect(asked.heads[0]?.fields).toEqual([[":status", "200"], ...plain]);
  });

  test("behind a body that waits for the client's window: in order, and not before it", async () => {
    const trio = await startHttp2Trio(mode);
    trio.client.credit = "none";
    const { asked, got } = await exchange(trio);
    got.head([[":status", "200"]]);
    got.data("a".repeat(16_000)).data("b".repeat(16_000)).data("c".repeat(16_000)).data("d".repeat(16_000));
    got.data("e".repeat(1535)).head(trailers, { endStream: true });
    // The end needs no window.
    await asked.complete();
    expect(asked.bytesReceived).toBe(65_535);
    const next = (await exchange(trio)).asked;
    expect(next.id).toBe(3);
  });

  test.each([
    ["a pseudo field", [[":status", "200"]]],
    ["a connection-specific field", [["connection", "close"]]],
    ["an upper case name", [["X-Upper", "1"]]],
  ] as [string, SentField[]][])("of a response with %s reset the stream and nothing else", async (_, fields) => {
    const trio = await startHttp2Trio(mode);
    const good = await exchange(trio);
    const bad = await exchange(trio);
    bad.got
      .head([[":status", "200"]])
      .data("body")
      .head(fields, { endStream: true });
    await bad.asked.wasReset();
    good.got.respond(200, "ok");
    expect((await good.asked.complete()).body).toBe("ok");
  });

  test("of a request without END_STREAM are malformed (RFC 9113 §8.1)", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked } = await exchange(trio, post(), { endStream: false });
    asked.data("body").head(trailers);
    expect(await asked.wasReset()).toBe(1);
    const after = await exchange(trio, get("/after"));
    after.got.respond(204);
    expect((await after.asked.complete()).heads[0]?.status).toBe(204);
  });
});
