// Attack: a client that asks and never reads its socket (CVE-2019-9517 without windows). Answers of a head alone are held
// back by no window, and their streams are over as soon as the head is written, so that no limit on streams holds either:
// unless somebody looks at the socket, what waits for it grows as long as there are questions.
import { type Socket, connect } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { connectHttp2, startHttp2App } from "../../support/http2-app.ts";
import { PREFACE, flags, frame, settingsFrame, types } from "../../support/http2-frames.ts";
import { writeBlock } from "../../support/http2-hpack.ts";
import { call, get } from "../../support/http2-sidecar.ts";
import { Neighbour } from "../../support/http2-siege.ts";
import { eventually, memoryGrowth, untilQuiet } from "../../support/quiet.ts";
import { openConnections } from "../../support/requests.ts";
import { type Sidecar, type SidecarOptions, describeRelay, startSidecar } from "../../support/sidecar.ts";

const MIB = 1024 * 1024;
/** Asked at once. */
const BATCH = 100;
/** More than buffers of kernels hold, of requests and of answers. */
const REQUESTS_MAX = 60_000;

/** Asks as fast as its requests are taken, and reads nothing. */
class DeafClient {
  readonly #socket: Socket;
  readonly #block: Buffer;
  asked = 0;
  closed = false;

  constructor(port: number, block: Buffer) {
    // Large, so that what is not taken soon shows: the kernels' buffers hold megabytes.
    this.#block = Buffer.concat([block, writeBlock([["x-large", "x".repeat(900)]])]);
    this.#socket = connect({ port, host: "127.0.0.1" });
    this.#socket.pause();
    this.#socket.on("error", () => {});
    this.#socket.on("close", () => (this.closed = true));
    onTestFinished(() => void this.#socket.destroy());
    this.#socket.write(Buffer.concat([PREFACE, settingsFrame()]));
    void this.#ask();
  }

  async #ask(): Promise<void> {
    const socket = this.#socket;
    while (!this.closed && this.asked < REQUESTS_MAX) {
      const requests = Array.from({ length: BATCH }, (_, n) =>
        frame(types.headers, flags.endHeaders | flags.endStream, 2 * (this.asked + n) + 1, this.#block),
      );
      this.asked += BATCH;
      if (!socket.write(Buffer.concat(requests))) {
        await new Promise<void>((resolve) => {
          socket.once("drain", resolve);
          socket.once("close", resolve);
        });
      }
      // The sidecar and the app are in the same process.
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Begins to read, and throws away what comes. */
  listen(): void {
    this.#socket.resume();
  }
}

interface DeafSiege {
  readonly sidecar: Sidecar;
  readonly neighbour: Neighbour;
  /** Requests of the attacker that have reached the app. */
  readonly served: () => number;
}

async function startDeafSiege(options: SidecarOptions): Promise<DeafSiege> {
  let served = 0;
  const app = await startHttp2App((stream, headers) => {
    stream.resume();
    if (headers[":path"] === "/") {
      stream.respond({ ":status": 200 });
      stream.end("hello");
      return;
    }
    served++;
    const etag = "e".repeat(1990) + String(served).padStart(10, "0");
    const head = headers["content-type"] === "application/grpc" ? { "grpc-status": "5" } : {};
    stream.respond({ ":status": headers[":method"] === "GET" ? 204 : 200, etag, ...head }, { endStream: true });
  });
  const sidecar = await startSidecar({ target: app.name, instanceId: "abc", ...options });
  const neighbour = new Neighbour(await connectHttp2(sidecar.port()));
  return { sidecar, neighbour, served: () => served };
}

describeRelay("a client that asks and never reads", (mode) => {
  test.each([
    ["204", get("/attack")],
    ["gRPC answers of trailers alone", call("/attack")],
  ])("%s: is held back in bounded memory, then gone; neighbours go on", async (_, fields) => {
    const { sidecar, neighbour } = await startDeafSiege({ ...mode, timeouts: { stalledMs: 1000 } });
    const growth = memoryGrowth();
    const client = new DeafClient(sidecar.port(), writeBlock(fields));
    const asked = await untilQuiet(() => client.asked);
    expect(asked).toBeLessThan(REQUESTS_MAX);
    expect(client.closed).toBe(false);
    expect(growth()).toBeLessThan(6 * MIB);
    await eventually(() => client.closed);
    expect(await sidecar.metric("sidelane_http2_abuse_total", { kind: "stalled" })).toBe(1);
    await eventually(() => openConnections(sidecar) === 1);
    await eventually(async () => (await sidecar.metric("sidelane_active_requests")) <= 1);
    await neighbour.stop();
  });

  test("and reads after all is served on", async () => {
    // It does not count its streams either.
    const limits = { http2ResetBurst: REQUESTS_MAX };
    const { sidecar, neighbour, served } = await startDeafSiege({ ...mode, limits });
    const client = new DeafClient(sidecar.port(), writeBlock(get("/attack")));
    expect(await untilQuiet(() => client.asked)).toBeLessThan(REQUESTS_MAX);
    const before = served();
    client.listen();
    await eventually(() => served() >= before + 1000);
    expect(client.closed).toBe(false);
    expect(await sidecar.metric("sidelane_http2_abuse_total")).toBe(0);
    await neighbour.stop();
  });
});
