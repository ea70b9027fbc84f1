// A peer: a reverse proxy as it is usually written with `node:http` and undici: `pool.request`, header objects,
// `pipeline`. One process, keep-alive on both sides, streamed bodies with backpressure.
//
// Usage: node bench/peers/node-undici.ts PORT BASELINE_PORT SANDBOX_PORT

import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { Pool, type Dispatcher } from "undici";
import { hopByHop, isForSandbox } from "./node-rules.ts";

const [port, baselinePort, sandboxPort] = process.argv.slice(2).map(Number);

const poolOptions = { connections: 1024, pipelining: 1, keepAliveTimeout: 4_000 };
const baseline = new Pool(`http://127.0.0.1:${baselinePort}`, poolOptions);
const sandbox = new Pool(`http://127.0.0.1:${sandboxPort}`, poolOptions);

function withoutHopByHop(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.has(name)));
}

async function forward(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const pool = isForSandbox(request.headers["baggage"] as string | undefined) ? sandbox : baseline;
  const bodyless =
    request.headers["content-length"] === undefined && request.headers["transfer-encoding"] === undefined;
  const answer = await pool.request({
    path: request.url ?? "/",
    method: request.method as Dispatcher.HttpMethod,
    headers: withoutHopByHop(request.headers),
    body: bodyless ? null : request,
  });
  response.writeHead(answer.statusCode, withoutHopByHop(answer.headers));
  await pipeline(answer.body, response);
}

const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
  response.sendDate = false;
  forward(request, response).catch(() => {
    if (response.headersSent) response.destroy();
    else response.writeHead(502, { "content-length": "0" }).end();
  });
});
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
process.once("SIGTERM", () => process.exit(0));
