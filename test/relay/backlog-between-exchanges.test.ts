// Attack: a client pipelines requests and does not read. Its connection becomes backlogged at the end of a turn, between two
// exchanges: the next one is open but still waits for its own connection, so nobody is there to be paused. The response
// that then begins must be held back all the same, or one client makes the sidecar buffer it as a whole.
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { untilQuiet } from "../support/quiet.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";

const MIB = 1024 * 1024;
const HUGE = 256 * MIB;
const small = Buffer.alloc(64 * 1024 - 300, "a");
const block = Buffer.alloc(64 * 1024, "b");

describeRelay("backlog between two exchanges", (mode) => {
  test("does not escape the one that comes next", async () => {
    let hugeAt = Number.POSITIVE_INFINITY;
    let last = -1;
    let taken = 0;
    const app = createServer((request, response) => {
      const n = Number(request.url?.slice(1));
      last = Math.max(last, n);
      // Every exchange needs a connection of its own, and so a moment without one.
      response.setHeader("connection", "close");
      if (n < hugeAt) return void response.end(small);
      response.setHeader("content-length", HUGE);
      const pour = (): void => {
        while (taken < HUGE && !response.destroyed) {
          taken += block.length;
          if (!response.write(block)) return void response.once("drain", pour);
        }
        response.end();
      };
      pour();
    });
    await new Promise<void>((resolve) => app.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => {
      app.closeAllConnections();
      app.close();
    });
    const sidecar = await startSidecar({ ...mode, target: `127.0.0.1:${(app.address() as AddressInfo).port}` });
    const requests = Array.from({ length: 400 }, (_, n) => `GET /${n} HTTP/1.1\r\nHost: checkout\r\n\r\n`).join("");
    const run = async (): Promise<void> => {
      last = -1;
      taken = 0;
      const client = await sidecar.connect();
      client.socket.pause();
      client.send(requests);
      await untilQuiet(() => last + taken);
      client.abort();
    };
    await run();
    const full = last;
    expect(full).toBeLessThan(399);
    // Which request meets the full socket differs by one from run to run.
    for (const offset of [0, 1, 0, -1, 0]) {
      hugeAt = full + offset;
      await run();
      expect(taken).toBeLessThan(32 * MIB);
    }
  });
});
