// An address of this machine that neither accepts nor refuses: a listener in a thread that sleeps for ever, its queue of
// completed connections full, so that the kernel drops every further attempt in silence.
import { connect } from "node:net";
import type { Socket } from "node:net";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";

const code = `
  const { parentPort } = require("node:worker_threads");
  const server = require("node:net").createServer();
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => {
    parentPort.postMessage(server.address().port);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;
/** More than the queue holds, which is the backlog and one. */
const FILLERS = 6;
const QUEUED = 2;

/** Resolves with the port; the thread ends with the test. */
export async function startBlackhole(): Promise<number> {
  const worker = new Worker(code, { eval: true });
  const fillers: Socket[] = [];
  onTestFinished(async () => {
    for (const filler of fillers) filler.destroy();
    await worker.terminate();
  });
  const [port] = (await once(worker, "message")) as [number];
  // One after the other, so that each finds the queue as the last one left it.
  for (let n = 0; n < FILLERS; n++) {
    const filler = connect({ port, host: "127.0.0.1" });
    filler.on("error", () => {});
    fillers.push(filler);
    if (n < QUEUED) await once(filler, "connect");
  }
  return port;
}
