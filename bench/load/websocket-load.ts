// The WebSocket load: so many connections, each of which sends a message when the last one has come back.
//
// Usage: node bench/load/websocket-load.ts PORT CONNECTIONS SECONDS; prints a line of JSON (LoadResult). Bytes are
// those of the messages that came back, frame heads included.

import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { Latencies } from "./latencies.ts";
import { printResult } from "./load-result.ts";
import { sandboxBaggage } from "./requests.ts";
import { answerFrame, handshakeHead, questionFrame } from "./websocket-frames.ts";

const [port = 0, connections = 1, seconds = 1] = process.argv.slice(2).map(Number);
/** Messages that are still under way so long after the end are errors. */
const drainMs = 2_000;

const latencies = new Latencies();
let echoed = 0;
let bytes = 0;
let errors = 0;
let firstError = "";
let hasEnded = false;
let underWay = 0;

function fail(problem: string): void {
  errors++;
  if (firstError === "") firstError = problem;
}

async function open(): Promise<Socket> {
  const socket = connect({ port, host: "127.0.0.1", noDelay: true });
  await once(socket, "connect");
  socket.write(handshakeHead(sandboxBaggage));
  const [head] = (await once(socket, "data")) as [Buffer];
  const text = head.toString("latin1");
  if (!text.startsWith("HTTP/1.1 101 ") || !text.endsWith("\r\n\r\n")) throw new Error(`no handshake: ${text}`);
  return socket;
}

function chat(socket: Socket): void {
  let received = 0;
  let startedMs = 0;
  const send = (): void => {
    underWay++;
    startedMs = performance.now();
    socket.write(questionFrame);
  };
  socket.on("error", (error) => fail(error.message));
  socket.on("close", () => {
    if (!hasEnded) fail("the proxy closed the connection");
  });
  socket.on("data", (chunk) => {
    bytes += chunk.length;
    // An answer in one piece is compared as a whole; pieces are counted.
    if (received === 0 && chunk.length === answerFrame.length && !chunk.equals(answerFrame)) fail("another message");
    received += chunk.length;
    if (received < answerFrame.length) return;
    if (received > answerFrame.length) return fail("more than was sent");
    received = 0;
    underWay--;
    echoed++;
    latencies.add(performance.now() - startedMs);
    if (!hasEnded) send();
  });
  send();
}

const sockets = await Promise.all(Array.from({ length: connections }, open));
const startMs = performance.now();
for (const socket of sockets) chat(socket);
await delay(seconds * 1000);
hasEnded = true;
const deadlineMs = performance.now() + drainMs;
while (underWay > 0 && performance.now() < deadlineMs) await delay(1);
const durationUs = (performance.now() - startMs) * 1000;
for (; underWay > 0; underWay--) fail("a message did not come back");
for (const socket of sockets) socket.destroy();
printResult({ operations: echoed, durationUs, bytes, errors, firstError, ...latencies.percentiles() });
