// Answers of the sidecar's own to callers that speak gRPC: for each reason that one can meet (docs/errors.md), how it comes
// about, and the status and sentence that the caller's library shows.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { status } from "@grpc/grpc-js";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Reason, reasonInfo } from "../../src/base/reasons.ts";
import { GrpcClient } from "../support/grpc.ts";
import { SANDBOX, describeChains, inSandbox } from "../support/grpc-chain.ts";
import { startHttp2Answering, startHttp2Backend } from "../support/http2-backend.ts";
import { codes, settingIds } from "../support/http2-frames.ts";
import type { SentField } from "../support/http2-hpack.ts";
import { call, connectTo, exchange, fieldsOf, startHttp2Trio } from "../support/http2-sidecar.ts";
import type { PeerStream } from "../support/http2-stream.ts";
import { swept } from "../support/quiet.ts";
import { deadPort } from "../support/requests.ts";
import { type Sidecar, type SidecarOptions, startSidecar } from "../support/sidecar.ts";

/** A call that is about to be answered by the sidecar. */
interface Asked {
  readonly asked: PeerStream;
  readonly sidecar: Sidecar;
}

const key: SentField = ["baggage", `sidelane=${SANDBOX}`];
const message = "\0\0\0\0\0";

/** A call through a sidecar before `target`; its request is complete unless `open`. */
async function ask(target: string, fields: readonly SentField[] = [], options: SidecarOptions = {}): Promise<Asked> {
  const sidecar = await startSidecar({ target, ...options });
  const client = await connectTo(sidecar);
  return {
    sidecar,
    asked: client.request(call("/shop.Checkout/Pay", ...fields), {}).data(message, { endStream: true }),
  };
}

/** A call that has reached an endpoint which then does something. */
async function spoiled(act: (got: PeerStream) => void, options: SidecarOptions = {}): Promise<Asked> {
  const backend = await startHttp2Answering(act);
  return ask(backend.name, [], options);
}

const sandboxAt = (...endpoints: readonly string[]): SidecarOptions => ({
  table: { services: { checkout: {} }, sandboxes: { [SANDBOX]: { services: { checkout: endpoints } } } },
});

/** An app that does not speak HTTP/2. */
async function startHttp1App(): Promise<string> {
  const server = createServer((_, response) => void response.end("hello"));
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => void server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

const smallHeads: SidecarOptions = { limits: { headBytesMax: 20_000 } };
/** Too large for a head, and not so much that the connection would be given up as well. */
const LARGE = "x".repeat(20_200);

/** Reason, how it comes about, and a word that the sentence must have. */
const cases: readonly (readonly [reason: Reason, make: () => Promise<Asked>, says: RegExp])[] = [
  [
    "unknown-key",
    () => ask("127.0.0.1:1", [key], { table: { services: { checkout: {} } }, tenancy: { onUnknownKey: "reject" } }),
    /create the sandbox or correct the key/,
  ],
  [
    "loop",
    async () => {
      const made = await ask("127.0.0.1:1", [], { instanceId: "abc" });
      const client = await connectTo(made.sidecar);
      await made.asked.over();
      return { ...made, asked: client.request(call("/a.B/C", ["via", "2.0 sidelane-abc-inbound"])) };
    },
    /sidelane-abc-inbound/,
  ],
  [
    "sandbox-unavailable",
    async () => ask("127.0.0.1:1", [key], sandboxAt(`127.0.0.1:${await deadPort()}`)),
    /127\.0\.0\.1:\d+/,
  ],
  ["upstream-unavailable", async () => ask(`127.0.0.1:${await deadPort()}`), /127\.0\.0\.1:\d+/],
  [
    "upstream-overloaded",
    async () => {
      const trio = await startHttp2Trio(
        { limits: { upstreamConnectionsMax: 1 }, timeouts: { upstreamWaitMs: 200 } },
        { backend: { settings: [[settingIds.maxConcurrentStreams, 1]] } },
      );
      await exchange(trio, call());
      return { sidecar: trio.sidecar, asked: trio.client.request(call()) };
    },
    /limits\.upstreamConnectionsMax/,
  ],
  ["upstream-closed", () => spoiled((got) => got.peer.abort()), /look at its log/],
  ["upstream-refused", () => spoiled((got) => got.reset(codes.refusedStream)), /refused/],
  ["upstream-reset", () => spoiled((got) => got.reset(codes.noError)), /without an answer/],
  [
    "upstream-tls-failed",
    async () => ask(await startHttp1App(), [], { upstreamTls: { checkout: { verify: false } } }),
    /TLS/,
  ],
  ["upstream-version-unsupported", async () => ask(await startHttp1App()), /HTTP version/],
  ["upstream-protocol-error", () => spoiled((got) => void got.head([["x-no-status", "1"]])), /HTTP/],
  [
    "upstream-head-too-large",
    () =>
      spoiled(
        (got) =>
          void got.head([
            [":status", "200"],
            ["x-large", LARGE],
          ]),
        smallHeads,
      ),
    /limits\.headBytesMax/,
  ],
  ["upstream-timeout", () => spoiled(() => {}, { timeouts: { responseHeadMs: 200 } }), /200 ms/],
  [
    "deadline-exceeded",
    async () => {
      const backend = await startHttp2Backend();
      return ask(backend.name, [["grpc-timeout", "50m"]]);
    },
    /50 ms/,
  ],
  ["malformed-request", () => ask("127.0.0.1:1", [["te", "gzip"]]), /te/i],
  ["ambiguous-framing", () => ask("127.0.0.1:1", [["content-length", "1x"]]), /content-length/i],
  ["head-too-large", () => ask("127.0.0.1:1", [["x-large", LARGE]], smallHeads), /limits\.headBytesMax/],
  [
    "uri-too-long",
    async () => {
      const made = await ask("127.0.0.1:1", []);
      await made.asked.over();
      return { ...made, asked: (await connectTo(made.sidecar)).request(call(`/${"x".repeat(20_000)}`)) };
    },
    /limits\.uriBytesMax/,
  ],
  ["expectation-unknown", () => ask("127.0.0.1:1", [["expect", "miracles"]]), /100-continue/],
  [
    "trace-unsupported",
    async () => {
      const made = await ask("127.0.0.1:1", []);
      await made.asked.over();
      const fields = fieldsOf("TRACE", "/", ["content-type", "application/grpc"], ["max-forwards", "0"]);
      return { ...made, asked: (await connectTo(made.sidecar)).request(fields) };
    },
    /sidecar itself/,
  ],
];

describe("the answer to a call", () => {
  test.each(cases)("%s", async (reason, make, says) => {
    const { asked, sidecar } = await make();
    await asked.over();
    const [head, ...more] = asked.heads;
    expect(more).toEqual([]);
    expect([head?.endStream, head?.status, asked.bytesReceived]).toEqual([true, 200, 0]);
    expect(head?.get("content-type")).toBe("application/grpc");
    expect(head?.get("server")).toBe("sidelane");
    expect(head?.get("grpc-status")).toBe(String(reasonInfo(reason).grpcStatus));
    const text = head?.get("grpc-message") ?? "";
    // One line of printable ASCII (gRPC over HTTP/2, "Responses").
    expect(text).toMatch(/^[ -~]+$/);
    expect(decodeURIComponent(text)).toMatch(new RegExp(`^${reason}: .*${says.source}`, says.flags));
    expect(await sidecar.metric("sidelane_requests_total", { reason, protocol: "http2" })).toBe(1);
    const counted = { grpc_status: String(reasonInfo(reason).grpcStatus), method: "other" };
    expect(await sidecar.metric("sidelane_grpc_requests_total", counted)).toBeGreaterThan(0);
  });

  test("upstream-head-too-large, when the head is far too large", async () => {
    const { asked, sidecar } = await spoiled(
      (got) =>
        void got.head([
          [":status", "200"],
          ["x-large", LARGE + LARGE],
        ]),
      smallHeads,
    );
    const head = await asked.receivedHead();
    expect(head.get("grpc-message")).toMatch(/^upstream-head-too-large: /);
    expect(await sidecar.metric("sidelane_requests_total", { reason: "upstream-head-too-large" })).toBe(1);
  });

  test("that an endpoint gives up with a code is a reset with that code", async () => {
    const { asked, sidecar } = await spoiled((got) => got.reset(codes.enhanceYourCalm));
    expect(await asked.wasReset()).toBe(codes.enhanceYourCalm);
    expect(asked.heads).toEqual([]);
    expect(await sidecar.metric("sidelane_grpc_requests_total", { grpc_status: "8" })).toBe(1);
  });

  test("that breaks off is a reset, never an end", async () => {
    const trio = await startHttp2Trio();
    const { asked, got } = await exchange(trio, call());
    got.head([[":status", "200"]]).data(message);
    await asked.received(5);
    got.peer.abort();
    expect(await asked.wasReset()).toBe(codes.internalError);
    expect(await trio.sidecar.metric("sidelane_grpc_requests_total", { grpc_status: "14" })).toBe(1);
  });

  test("does not come to a stream whose client is silent: there is nothing that it owes", async () => {
    const trio = await startHttp2Trio({ timeouts: { bodyMs: 100, responseHeadMs: 100 } });
    const { asked, got } = await exchange(trio, call(), { endStream: false });
    await swept(400);
    asked.data(message, { endStream: true });
    await got.complete();
    got.head(
      [
        [":status", "200"],
        ["grpc-status", "0"],
      ],
      { endStream: true },
    );
    expect((await asked.complete()).heads[0]?.get("grpc-status")).toBe("0");
  });

  test("of timeouts.requestMs comes to calls, too", async () => {
    const trio = await startHttp2Trio({ timeouts: { requestMs: 300 } });
    const { asked, got } = await exchange(trio, call(), { endStream: false });
    expect((await asked.receivedHead()).get("grpc-status")).toBe("4");
    expect(await got.wasReset()).toBe(codes.cancel);
    expect(await trio.sidecar.metric("sidelane_requests_total", { reason: "upstream-timeout" })).toBe(1);
  });

  test("is for gRPC alone: content types that only begin alike get problem details", async () => {
    const sidecar = await startSidecar({ target: `127.0.0.1:${await deadPort()}` });
    const client = await connectTo(sidecar);
    const answered = async (type: string): Promise<number | undefined> => {
      const asked = client.request(fieldsOf("POST", "/a.B/C", ["content-type", type]));
      return (await asked.complete()).heads[0]?.status;
    };
    for (const type of ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"]) {
      expect(await answered(type)).toBe(200);
    }
    for (const type of ["application/grpcx", "application/json", "text/plain"]) expect(await answered(type)).toBe(503);
  });
});

describeChains("what grpc-js makes of it", (start) => {
  test("a sandbox that is dead: UNAVAILABLE, and the baseline goes on", async () => {
    const { client, first, baseline } = await start();
    const endpoint = `127.0.0.1:${await deadPort()}`;
    const target = first.proxy.addresses.has("inbound") ? {} : { baseline: [baseline.name] };
    first.publish({
      services: { checkout: target },
      sandboxes: { [SANDBOX]: { services: { checkout: [endpoint] } } },
    });
    const { code, details } = await client.unary("x", { metadata: inSandbox() });
    expect(code).toBe(status.UNAVAILABLE);
    expect(details).toContain("sandbox-unavailable: ");
    expect(details).toContain(endpoint);
    expect((await client.unary("x")).code).toBe(status.OK);
    // Streams, too, in both directions.
    for (const call of [
      client.upload({ metadata: inSandbox() }),
      client.download(1, 1, { metadata: inSandbox() }),
      client.chat({ metadata: inSandbox() }),
    ]) {
      expect((await call.outcome).code).toBe(status.UNAVAILABLE);
    }
    expect(baseline.served).toHaveLength(1);
  });

  test("an app that is gone: UNAVAILABLE, said once, whichever sidecar says it", async () => {
    const { client, baseline, sidecars } = await start();
    baseline.server.forceShutdown();
    const { code, details } = await client.unary("x");
    expect(code).toBe(status.UNAVAILABLE);
    expect(details).toMatch(/^upstream-unavailable: /);
    expect(details).toContain(baseline.name);
    expect(details.match(/upstream-unavailable/g)).toHaveLength(1);
    const counts = sidecars.map((each) => each.metric("sidelane_grpc_requests_total", { grpc_status: "14" }));
    expect(await Promise.all(counts)).toEqual(sidecars.length === 1 ? [1] : [1, 1, 0]);
  });

  test("an unknown key that is rejected: NOT_FOUND", async () => {
    const { client } = await start({
      tenancy: { carriers: [{ header: "x-sandbox" }], onUnknownKey: "reject" },
    });
    const metadata = inSandbox();
    metadata.set("x-sandbox", "nobody");
    const { code, details } = await client.unary("x", { metadata });
    expect(code).toBe(status.NOT_FOUND);
    expect(details).toMatch(/^unknown-key: /);
  });

  test("a sidecar that is full", async () => {
    const { client, first } = await start({ limits: { connectionsMax: 1 } });
    expect((await client.unary("x")).code).toBe(status.OK);
    const port = Number(([...first.proxy.addresses.values()][0] ?? "").split(":")[1]);
    expect((await new GrpcClient(port).unary("x")).code).toBe(status.UNAVAILABLE);
    expect((await client.unary("x")).code).toBe(status.OK);
  });
});

test("a call that comes back to its listener: FAILED_PRECONDITION", async () => {
  const sidecar = await startSidecar({ target: "127.0.0.1:1" });
  sidecar.publish({
    services: { checkout: {} },
    sandboxes: { [SANDBOX]: { services: { checkout: [`127.0.0.1:${sidecar.port()}`] } } },
  });
  const { code, details } = await new GrpcClient(sidecar.port()).unary("x", { metadata: inSandbox() });
  expect(code).toBe(status.FAILED_PRECONDITION);
  expect(details).toMatch(/^loop: /);
});
