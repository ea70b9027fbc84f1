// A peer: a WebSocket proxy as it is usually written with `node:http`: the `upgrade` event on both sides, then two pipes.
//
// Usage: node bench/peers/node-upgrade.ts PORT BASELINE_PORT SANDBOX_PORT

import { createServer, request, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { isForSandbox } from "./node-rules.ts";

const [port, baselinePort, sandboxPort] = process.argv.slice(2).map(Number);

function answerHead(answer: IncomingMessage): string {
  const lines = [`HTTP/1.1 ${answer.statusCode} ${answer.statusMessage}`];
  const raw = answer.rawHeaders;
  for (let i = 0; i < raw.length; i += 2) lines.push(`${raw[i]}: ${raw[i + 1]}`);
  return `${lines.join("\r\n")}\r\n\r\n`;
}

function join(a: Duplex, b: Duplex): void {
  a.pipe(b).pipe(a);
  a.on("error", () => b.destroy()).on("close", () => b.destroy());
  b.on("error", () => a.destroy()).on("close", () => a.destroy());
}

const server = createServer((_, response) => response.writeHead(426, { "content-length": "0" }).end());
server.on("upgrade", (incoming, downstream, head) => {
  const outgoing = request({
    host: "127.0.0.1",
    port: isForSandbox(incoming.headers["baggage"] as string | undefined) ? sandboxPort : baselinePort,
    method: incoming.method,
    path: incoming.url,
    headers: incoming.headers,
  });
  outgoing.on("upgrade", (answer, upstream, rest) => {
    upstream.setNoDelay(true);
    downstream.write(answerHead(answer));
    if (rest.length > 0) downstream.write(rest);
    if (head.length > 0) upstream.write(head);
    join(downstream, upstream);
  });
  outgoing.on("response", (answer) => downstream.end(answerHead(answer)));
  outgoing.on("error", () => downstream.destroy());
  outgoing.end();
});
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
process.once("SIGTERM", () => process.exit(0));
