import { expect, test } from "vitest";
import { connectHttp2, responseOf, startHttp2App } from "../support/http2-app.ts";
import { exchange, get, post, startHttp2Trio } from "../support/http2-sidecar.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

describeRelay("interim responses", (mode) => {
  test("pass in their order, before the final one", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([
      [":status", "103"],
      ["link", "</a.css>; rel=preload"],
    ]);
    got.head([
      [":status", "103"],
      ["link", "</b.css>; rel=preload"],
    ]);
    expect((await asked.receivedHead(1)).get("link")).toBe("</b.css>; rel=preload");
    expect(asked.heads[0]?.endStream).toBe(false);
    got.head([[":status", "102"]]);
    got.respond(200, "ok");
    await asked.complete();
    expect(asked.heads.map(({ status }) => status)).toEqual([103, 103, 102, 200]);
    expect(asked.body).toBe("ok");
  });

  test("100 (Continue): the body follows it", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post("/", ["expect", "100-continue"]), { endStream: false });
    expect(got.heads[0]?.get("expect")).toBe("100-continue");
    got.head([[":status", "100"]]);
    expect((await asked.receivedHead()).status).toBe(100);
    asked.data("body", { endStream: true });
    expect((await got.complete()).body).toBe("body");
    got.respond(200, "thanks");
    expect((await asked.complete()).body).toBe("thanks");
  });

  test("a final answer instead of 100: the body never comes", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio, post("/", ["expect", "100-continue"]), { endStream: false });
    got.respond(417, "no");
    await asked.complete();
    expect(asked.heads.map(({ status }) => status)).toEqual([417]);
    asked.reset();
    const after = await exchange(trio, get("/after"));
    after.got.respond(204);
    await after.asked.complete();
  });

  test("one that ends the stream is malformed (RFC 9113 §8.1)", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "103"]], { endStream: true });
    const head = await asked.receivedHead();
    expect([head.status, head.get("server")]).toEqual([502, "sidelane"]);
  });

  test("101 does not exist in HTTP/2 (RFC 9113 §8.6)", async () => {
    const trio = await startHttp2Trio(mode);
    const { asked, got } = await exchange(trio);
    got.head([[":status", "101"]]);
    expect((await asked.receivedHead()).status).toBe(502);
  });

  test("between real peers", async () => {
    const app = await startHttp2App((stream) => {
      stream.additionalHeaders({ ":status": 103, link: "</a>" });
      stream.respond({ ":status": 200 });
      stream.end();
    });
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const session = await connectHttp2(sidecar.port());
    const stream = session.request({ ":path": "/" });
    const interim: unknown[] = [];
    stream.on("headers", (headers) => interim.push(headers[":status"]));
    expect((await responseOf(stream))[":status"]).toBe(200);
    expect(interim).toEqual([103]);
  });
});
