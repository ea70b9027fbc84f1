import { expect, test } from "vitest";
import { exchange, fieldsOf, get, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay } from "../support/sidecar.ts";

describeRelay("responses without a body (RFC 9110 §6.4.1)", (mode) => {
  test.each([
    ["HEAD", 200],
    ["HEAD", 404],
    ["GET", 304],
  ])("%s %i keeps a content-length that has no body behind it", async (method, status) => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, fieldsOf(method));
    got.head(
      [
        [":status", String(status)],
        ["content-length", "1234"],
      ],
      { endStream: true },
    );
    await asked.complete();
    expect(asked.heads).toHaveLength(1);
    expect(asked.heads[0]?.endStream).toBe(true);
    expect(asked.heads[0]?.get("content-length")).toBe("1234");
    expect(asked.bytesReceived).toBe(0);
  });

  test("204, ended by the head or by an empty DATA frame", async () => {
    const trio = await startHttp2Trio(mode);
    const one = await exchange(trio);
    one.got.respond(204);
    expect((await one.asked.complete()).heads[0]?.status).toBe(204);
    const two = await exchange(trio);
    two.got.head([[":status", "204"]]).end();
    expect((await two.asked.complete()).bytesReceived).toBe(0);
  });

  test("HEAD may be answered by the sidecar, without a body", async () => {
    const trio = await startHttp2Trio({ ...mode, tenancy: { onUnknownKey: "reject" } });
    const stream = trio.client.request(fieldsOf("HEAD", "/", ["baggage", "sidelane=nobody"]));
    await stream.complete();
    expect(stream.heads[0]?.status).toBe(421);
    expect(Number(stream.heads[0]?.get("content-length"))).toBeGreaterThan(0);
    expect(stream.bytesReceived).toBe(0);
  });

  test.each([
    ["less", "12345", 5, 4],
    ["more", "3", 3, 4],
  ])("a body with %s than its content-length never looks complete (RFC 9113 §8.1.1)", async (_, length, __, sent) => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, get());
    got
      .head([
        [":status", "200"],
        ["content-length", length],
      ])
      .data("x".repeat(sent), { endStream: true });
    await asked.over();
    expect(asked.ended && asked.heads[0]?.status === 200).toBe(false);
  });

  test("a request body that does not match its content-length never looks complete", async () => {
    const trio = await startHttp2Trio(mode);
    for (const [length, body] of [
      ["5", "1234"],
      ["3", "1234"],
    ] as const) {
      const fields = fieldsOf("POST", "/", ["content-length", length]);
      const { asked, got } = await exchange(trio, fields, { endStream: false });
      asked.data(body, { endStream: true });
      expect(await asked.wasReset()).toBe(1);
      await got.wasReset();
      expect(got.ended).toBe(false);
    }
  });
});
