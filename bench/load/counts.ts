// Backends of our own tell how many requests they saw to whoever connects to their count port.

import { once } from "node:events";
import { connect, createServer } from "node:net";
import type { BackendCounts } from "../backends.ts";

/** Answers the count to every connection, and closes it. */
export function answerCounts(port: number, counts: () => BackendCounts): void {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.end(JSON.stringify(counts()));
  });
  server.listen(port, "127.0.0.1");
}

export async function readCounts(port: number): Promise<BackendCounts> {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (chunk) => (text += chunk.toString()));
  await once(socket, "close");
  return JSON.parse(text) as BackendCounts;
}
