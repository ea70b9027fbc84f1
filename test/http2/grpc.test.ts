// gRPC as its own library speaks it: grpc-js on both sides, one sidecar or two between them.
import { createHash, randomBytes } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { GrpcClient, type ServedCall, metadataOf } from "../support/grpc.ts";
import { SANDBOX, describeChains, inSandbox, listenerOf } from "../support/grpc-chain.ts";
import { call, connectTo } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";

const MIB = 1024 * 1024;
/** All that a status message may have to survive. */
const SPECIAL = "\t\n100 % of it,\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n";

describeChains("a call", (start) => {
  test.each([0, 1, 16_379, 65_536, 8 * MIB])("with one message of %d bytes each way", async (bytes) => {
    const { client } = await start();
    const sent = randomBytes(bytes);
    const { code, message, initial } = await client.unary(sent);
    expect(code).toBe(status.OK);
    expect(message?.equals(sent)).toBe(true);
    expect(initial.get("x-server")).toEqual(["baseline"]);
  });

  test("that streams to the server: every message arrives, empty ones too", async () => {
    const { client } = await start();
    const { call: upload, outcome } = client.upload();
    const hash = createHash("sha256");
    const sizes = [0, 1, 100_000, 0, 2 * MIB, 3];
    for (const size of sizes) {
      const message = randomBytes(size);
      hash.update(message);
      upload.write(message);
    }
    upload.end();
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    const { code, message } = await outcome;
    expect([code, message?.toString()]).toEqual([status.OK, `${sizes.length} ${bytes} ${hash.digest("hex")}`]);
  });

  test.each([
    [0, 0],
    [1000, 0],
    [300, 1000],
    [4, 2 * MIB],
  ])("that streams %d messages of %d bytes to the client", async (count, bytes) => {
    const { client } = await start();
    const { messages, outcome } = client.download(count, bytes);
    const received = await messages.rest();
    expect(received).toHaveLength(count);
    expect(received.every((message, n) => message.equals(Buffer.alloc(bytes, n)))).toBe(true);
    expect((await outcome).code).toBe(status.OK);
  });

  test("that streams both ways: each message is answered before the next is sent", async () => {
    const { client } = await start();
    const { call: chat, messages, outcome } = client.chat();
    for (let n = 0; n < 50; n++) {
      chat.write(Buffer.from(`message ${n}`));
      expect((await messages.next())?.toString()).toBe(`message ${n}`);
    }
    chat.end();
    expect(await messages.next()).toBeUndefined();
    expect((await outcome).code).toBe(status.OK);
  });

  test("among a hundred others on the connection gets its own answer", async () => {
    const { client } = await start();
    const outcomes = await Promise.all(
      Array.from({ length: 100 }, (_, n) => client.unary(`${n}`, { metadata: metadataOf(["x-trail-n", `${n}`]) })),
    );
    expect(outcomes.map(({ message }) => message?.toString())).toEqual(outcomes.map((_, n) => `${n}`));
    expect(outcomes.map(({ trailing }) => trailing.get("x-trail-n")[0])).toEqual(outcomes.map((_, n) => `${n}`));
  });
});

describeChains("metadata", (start) => {
  test("arrives as without a sidecar, both ways: text, bytes, repeated keys", async () => {
    const { client, baseline } = await start();
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
    const metadata = metadataOf(
      ["x-text", "a  b, c=d;e"],
      ["x-repeated", "one"],
      ["x-repeated", "two"],
      ["x-echo-text", "~!@#$%^&*()"],
      ["x-echo-repeated", "one"],
      ["x-echo-repeated", "two"],
      ["x-echo-empty-bin", Buffer.alloc(0)],
      ["x-echo-bytes-bin", bytes],
      ["x-trail-repeated-bin", Buffer.of(0xab, 0xab, 0xab)],
      ["x-trail-repeated-bin", Buffer.of(0, 255)],
      ["x-trail-text", "the end"],
    );
    const direct = await new GrpcClient(baseline.port).unary("x", { metadata });
    const { code, initial, trailing } = await client.unary("x", { metadata });
    expect(code).toBe(status.OK);
    expect(initial.get("x-echo-bytes-bin")).toEqual([bytes]);
    for (const name of ["x-echo-text", "x-echo-repeated", "x-echo-empty-bin", "x-echo-bytes-bin"]) {
      expect(initial.get(name)).toEqual(direct.initial.get(name));
    }
    expect(trailing.get("x-trail-repeated-bin")).toEqual([Buffer.of(0xab, 0xab, 0xab), Buffer.of(0, 255)]);
    expect(trailing.toHttp2Headers()).toEqual(direct.trailing.toHttp2Headers());
    const [seenDirect, seen] = baseline.served.map((served) => served.metadata.toHttp2Headers());
    const { via, ...others } = seen ?? {};
    expect(via).toBeDefined();
    expect(others).toEqual(seenDirect);
  });

  test.each([
    ["baggage", `user=ada,sidelane=${SANDBOX},other=1`],
    ["x-sandbox", SANDBOX],
  ])("with a key in %s goes to the sandbox, without or with another's to the baseline", async (name, value) => {
    const { client, baseline, sandbox } = await start();
    const answering = async (...pairs: [string, string][]): Promise<unknown> =>
      (await client.unary("x", { metadata: metadataOf(...pairs) })).initial.get("x-server")[0];
    expect(await answering([name, value])).toBe("sandbox");
    expect(await answering()).toBe("baseline");
    expect(await answering([name, value.replace(SANDBOX, "pr-70")])).toBe("baseline");
    expect(await answering([`${name}-x`, value])).toBe("baseline");
    expect([sandbox.served.length, baseline.served.length]).toEqual([1, 3]);
    // It goes on, for whom the app calls next.
    expect(sandbox.served[0]?.metadata.get(name)).toEqual([value]);
  });

  test("decides for each call of a connection by itself, streams included", async () => {
    const { client, baseline, sandbox } = await start();
    const chats = Array.from({ length: 20 }, (_, n) => client.chat(n % 2 === 0 ? { metadata: inSandbox() } : {}));
    for (const [n, { call: chat }] of chats.entries()) chat.end(Buffer.from(`${n}`));
    const outcomes = await Promise.all(chats.map(({ outcome }) => outcome));
    expect(outcomes.map(({ initial }) => initial.get("x-server")[0])).toEqual(
      chats.map((_, n) => (n % 2 === 0 ? "sandbox" : "baseline")),
    );
    expect([baseline.served.length, sandbox.served.length]).toEqual([10, 10]);
  });
});

describeChains("a status", (start) => {
  test("of any code and text is the caller's, with the trailers beside it", async () => {
    const { client } = await start();
    for (let code = 1; code <= 16; code++) {
      const metadata = metadataOf(["x-fail", `${code}`], ["x-trail-why-bin", Buffer.of(code)]);
      const outcome = await client.unary(`${SPECIAL}${code}`, { metadata });
      expect([outcome.code, outcome.details]).toEqual([code, `${SPECIAL}${code}`]);
      expect(outcome.trailing.get("x-trail-why-bin")).toEqual([Buffer.of(code)]);
    }
  });

  test("that says `try again` is not tried again on the way", async () => {
    const { client, baseline } = await start();
    for (const code of [status.UNAVAILABLE, status.ABORTED, status.RESOURCE_EXHAUSTED]) {
      await client.unary("x", { metadata: metadataOf(["x-fail", String(code)]) });
    }
    expect(baseline.served).toHaveLength(3);
  });

  test("of trailers alone stays one", async () => {
    const { first } = await start();
    const client = await connectTo(first, {}, listenerOf(first));
    const asked = client.request(call("/test.Echo/Unary", ["x-fail", "9"]), {});
    await asked.data("\0\0\0\0\x03why", { endStream: true }).complete();
    const [head, ...more] = asked.heads;
    expect(more).toEqual([]);
    expect([head?.endStream, head?.status, head?.get("grpc-status"), head?.get("grpc-message")]).toEqual([
      true,
      200,
      "9",
      "why",
    ]);
  });

  test("of a method and a service that nobody has is the server's", async () => {
    const { client } = await start();
    for (const path of ["/test.Echo/Nothing", "/test.Nobody/Nothing"]) {
      expect((await client.unary("x", {}, path)).code).toBe(status.UNIMPLEMENTED);
    }
  });

  test("of grpc.health.v1 is the app's own", async () => {
    const { client, baseline, sandbox } = await start();
    baseline.health = "NOT_SERVING";
    expect(await client.health()).toBe("NOT_SERVING");
    expect(await client.health(inSandbox())).toBe("SERVING");
    sandbox.health = "NOT_SERVING";
    expect(await client.health(inSandbox())).toBe("NOT_SERVING");
  });
});

describeChains("cancellation by the caller reaches the server", (start) => {
  test("before an answer", async () => {
    const { client, baseline } = await start();
    const served = baseline.next();
    const { call: hang, outcome } = client.begin("x");
    const cancelled = new Promise((resolve) => void served.then((one) => one.on("cancelled", resolve)));
    await served;
    hang.cancel();
    expect((await outcome).code).toBe(status.CANCELLED);
    await cancelled;
  });

  test("in the middle of streams, in each direction, and leaves the connection's other calls alone", async () => {
    const { client, first, baseline } = await start();
    const other = client.chat();
    other.call.write(Buffer.from("before"));
    expect((await other.messages.next())?.toString()).toBe("before");

    for (const open of [() => client.upload(), () => client.chat(), () => client.download(1_000_000, 1000)]) {
      const next = baseline.next();
      const { call: stream, outcome } = open();
      if ("write" in stream) stream.write(Buffer.alloc(100_000));
      const served = await next;
      const cancelled = new Promise((resolve) => served.on("cancelled", resolve));
      stream.cancel();
      expect((await outcome).code).toBe(status.CANCELLED);
      await cancelled;
      expect(served.cancelled).toBe(true);
    }
    other.call.end(Buffer.from("after"));
    expect((await other.messages.rest()).map(String)).toEqual(["after"]);
    expect((await other.outcome).code).toBe(status.OK);
    await eventually(async () => (await first.metric("sidelane_active_requests")) === 0);
    expect(await first.metric("sidelane_requests_total", { reason: "client-closed" })).toBe(3);
  });

  test("when its connection is lost", async () => {
    const { first, baseline } = await start();
    const peer = await connectTo(first, {}, listenerOf(first));
    const calls: ServedCall[] = [];
    for (let n = 0; n < 3; n++) {
      const served = baseline.next();
      peer.request(call("/test.Echo/Hang"), {}).data("\0\0\0\0\0", { endStream: true });
      calls.push(await served);
    }
    const cancelled = calls.map((served) => new Promise((resolve) => served.on("cancelled", resolve)));
    peer.abort();
    await Promise.all(cancelled);
    expect(calls.map((served) => served.cancelled)).toEqual([true, true, true]);
  });
});
