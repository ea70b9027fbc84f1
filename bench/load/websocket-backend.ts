// The WebSocket backends of the bench: two echo servers (baseline, sandbox) in one process on raw sockets. Every message is
// unmasked and sent back; one write for all that one read brought.
//
// Usage: node bench/load/websocket-backend.ts BASELINE_PORT SANDBOX_PORT COUNT_PORT

import { Buffer } from "node:buffer";
import { createServer, type Socket } from "node:net";
import { answerCounts } from "./counts.ts";
import type { Destination } from "./requests.ts";
import { answerFrame, echoFrame, handshakeAnswer, questionFrame } from "./websocket-frames.ts";

const [baselinePort, sandboxPort, countPort = 0] = process.argv.slice(2).map(Number);
const counts = { baseline: 0, sandbox: 0 };

function serve(socket: Socket, destination: Destination): void {
  let isOpen = false;
  let left = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    let bytes = left.length === 0 ? chunk : Buffer.concat([left, chunk]);
    if (!isOpen) {
      const end = bytes.indexOf("\r\n\r\n");
      if (end !== -1) {
        isOpen = true;
        socket.write(handshakeAnswer(bytes.toString("latin1", 0, end + 4), destination));
        bytes = bytes.subarray(end + 4);
      }
    }
    if (isOpen) {
      const messages = Math.floor(bytes.length / questionFrame.length);
      const out = Buffer.allocUnsafe(messages * answerFrame.length);
      for (let i = 0; i < messages; i++) echoFrame(bytes, i * questionFrame.length, out, i * answerFrame.length);
      if (messages > 0) socket.write(out);
      counts[destination] += messages;
      bytes = bytes.subarray(messages * questionFrame.length);
    }
    left = Buffer.from(bytes);
  });
}

for (const [destination, port] of [
  ["baseline", baselinePort],
  ["sandbox", sandboxPort],
] as const) {
  const server = createServer({ noDelay: true }, (socket) => serve(socket, destination));
  server.listen({ port, host: "127.0.0.1", backlog: 4096 });
}
answerCounts(countPort, () => counts);
process.once("SIGTERM", () => process.exit(0));
