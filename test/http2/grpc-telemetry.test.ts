// What metrics and the access log say of gRPC calls.
import { status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { GrpcClient, metadataOf } from "../support/grpc.ts";
import { type GrpcChain, SANDBOX, describeChains, inSandbox } from "../support/grpc-chain.ts";
import { startHttp2Answering } from "../support/http2-backend.ts";
import { call, connectTo } from "../support/http2-sidecar.ts";
import { eventually } from "../support/quiet.ts";
import { deadPort } from "../support/requests.ts";
import { type Sidecar, startSidecar } from "../support/sidecar.ts";

const NAME = "sidelane_grpc_requests_total";

/** The samples of the metric: their labels in one line, and how many. */
async function samplesOf(sidecar: Sidecar): Promise<Record<string, number>> {
  const lines = (await sidecar.telemetry.scrape()).split("\n").filter((line) => line.startsWith(`${NAME}{`));
  const samples = lines.map((line) => {
    const [, labels = "", value = ""] = /\{(.*)\} (\S+)$/.exec(line) ?? [];
    const of = Object.fromEntries(Array.from(labels.matchAll(/(\w+)="([^"]*)"/g), ([, name, text]) => [name, text]));
    return [[of.service, of.direction, of.destination, of.method, of.grpc_status].join(" "), Number(value)] as const;
  });
  expect(new Set(samples.map(([labels]) => labels)).size).toBe(samples.length);
  return Object.fromEntries(samples);
}

async function makeCalls({ client, baseline, first }: GrpcChain): Promise<void> {
  await client.unary("x");
  await client.unary("x");
  await client.unary("x", { metadata: inSandbox() });
  await client.unary("x", { metadata: metadataOf(["x-fail", "7"]) });
  await client.unary("x", {}, "/test.Echo/Nothing");
  const chat = client.chat({ metadata: inSandbox() });
  chat.call.end(Buffer.from("x"));
  await chat.outcome;
  const served = baseline.next();
  const hang = client.begin("x");
  const cancelled = new Promise((resolve) => void served.then((one) => one.on("cancelled", resolve)));
  await served;
  hang.call.cancel();
  await cancelled;
  await eventually(async () => (await first.metric("sidelane_active_requests")) === 0);
}

describeChains("calls are counted by service, direction, destination, method and status", (start) => {
  test("each once, as their caller saw them", async () => {
    const chain = await start();
    await makeCalls(chain);
    const direction = chain.sidecars.length === 1 ? "inbound" : "outbound";
    expect(await samplesOf(chain.first)).toEqual({
      [`checkout ${direction} baseline /test.Echo/Unary 0`]: 2,
      [`checkout ${direction} baseline /test.Echo/Unary 7`]: 1,
      [`checkout ${direction} ${SANDBOX} /test.Echo/Unary 0`]: 1,
      [`checkout ${direction} ${SANDBOX} /test.Echo/Chat 0`]: 1,
      // Not a method for all that is known.
      [`checkout ${direction} baseline other 12`]: 1,
      // Nobody has answered it, so that it has no label of its own.
      [`checkout ${direction} baseline other 1`]: 1,
    });
    expect(await chain.first.metric("sidelane_requests_total")).toBe(7);
  });

  test("the access log has grpcStatus", async () => {
    const chain = await start({ accessLog: true });
    await makeCalls(chain);
    chain.client.client.close();
    const lines = await chain.first.logLines();
    expect(lines.map(({ path, destination, reason, grpcStatus }) => [path, destination, reason, grpcStatus])).toEqual([
      ["/test.Echo/Unary", "baseline", "no-key", 0],
      ["/test.Echo/Unary", "baseline", "no-key", 0],
      ["/test.Echo/Unary", SANDBOX, "sandbox", 0],
      ["/test.Echo/Unary", "baseline", "no-key", 7],
      ["/test.Echo/Nothing", "baseline", "no-key", 12],
      ["/test.Echo/Chat", SANDBOX, "sandbox", 0],
      ["/test.Echo/Hang", "baseline", "client-closed", 1],
    ]);
    expect(lines.slice(0, 6).every((line) => line["status"] === 200)).toBe(true);
  });
});

test("answers of our own have their grpc-status in the access log, refusals too", async () => {
  const sidecar = await startSidecar({
    target: `127.0.0.1:${await deadPort()}`,
    accessLog: true,
    instanceId: "abc",
  });
  const client = await connectTo(sidecar);
  await client.request(call()).over();
  await client.request(call("/shop.Checkout/Pay", ["via", "2.0 sidelane-abc-inbound"])).over();
  const lines = await sidecar.logLines();
  expect(lines.map(({ reason, status: code, grpcStatus }) => [reason, code, grpcStatus])).toEqual([
    ["upstream-unavailable", 200, 14],
    ["loop", 200, 9],
  ]);
});

test("requests that are no gRPC are not counted as calls, and have no grpcStatus", async () => {
  const backend = await startHttp2Answering((stream) => void stream.respond(200, "hello"));
  const sidecar = await startSidecar({ target: backend.name, accessLog: true });
  const client = await connectTo(sidecar);
  await client
    .request([
      [":method", "POST"],
      [":scheme", "http"],
      [":authority", "checkout"],
      [":path", "/test.Echo/Unary"],
    ])
    .complete();
  expect(await samplesOf(sidecar)).toEqual({});
  expect((await sidecar.logLines())[0]).not.toHaveProperty("grpcStatus");
});

test("method labels are bounded: the first ones that exist have them, the others are `other`", async () => {
  const backend = await startHttp2Answering(
    (stream) =>
      void stream.head(
        [
          [":status", "200"],
          ["content-type", "application/grpc"],
          ["grpc-status", stream.heads[0]?.get(":path")?.includes("made.up") === true ? "12" : "0"],
        ],
        { endStream: true },
      ),
  );
  const sidecar = await startSidecar({ target: backend.name, limits: { grpcMethodLabelsMax: 3 } });
  const client = await connectTo(sidecar);
  // Somebody who tries methods out uses up nothing.
  for (let n = 0; n < 500; n++) await client.request(call(`/made.up.S${n}/M`)).complete();
  for (let n = 0; n < 6; n++) {
    for (let again = 0; again < 2; again++) await client.request(call(`/shop.S${n}/M`)).complete();
  }
  for (const odd of ["/", "/a", "/a/b?c", `/${"x".repeat(500)}/m`, '/a"b/c\\']) {
    await client.request(call(odd)).complete();
  }
  expect(await samplesOf(sidecar)).toEqual({
    "checkout inbound baseline other 12": 500,
    "checkout inbound baseline /shop.S0/M 0": 2,
    "checkout inbound baseline /shop.S1/M 0": 2,
    "checkout inbound baseline /shop.S2/M 0": 2,
    "checkout inbound baseline other 0": 6 + 5,
  });
});

test("a call that fails here is counted, without a label for its method", async () => {
  const sidecar = await startSidecar({ target: `127.0.0.1:${await deadPort()}` });
  const { code } = await new GrpcClient(sidecar.port()).unary("x");
  expect(code).toBe(status.UNAVAILABLE);
  expect(await samplesOf(sidecar)).toEqual({ "checkout inbound baseline other 14": 1 });
});
