// A peer: the strongest reverse proxy that `node:http` and undici make without leaving their public interfaces. One
// process, keep-alive on both sides, streamed bodies with backpressure, raw header pairs instead of objects, no promise
// per request. undici's `onHeaders` family of callbacks is marked as deprecated and is used all the same: it hands over the
// raw fields, while the newer one builds an object for every response, so this is the faster of the two.
//
// Usage: node bench/peers/node-undici-tuned.ts PORT BASELINE_PORT SANDBOX_PORT

import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { Pool, type Dispatcher } from "undici";
import { hopByHop, isForSandbox } from "./node-rules.ts";

const [port, baselinePort, sandboxPort] = process.argv.slice(2).map(Number);

const poolOptions = {
  connections: 1024,
  pipelining: 1,
  connectTimeout: 2_000,
  headersTimeout: 60_000,
  bodyTimeout: 60_000,
  keepAliveTimeout: 4_000,
};
const baseline = new Pool(`http://127.0.0.1:${baselinePort}`, poolOptions);
const sandbox = new Pool(`http://127.0.0.1:${sandboxPort}`, poolOptions);

/** The names that a connection field lists are hop-by-hop, too; almost always it says just `keep-alive` or `close`. */
function listedBy(connection: string | undefined): string | undefined {
  if (connection === undefined || connection === "keep-alive" || connection === "close") return undefined;
  return `,${connection.toLowerCase().replaceAll(/[\t ]/g, "")},`;
}

function forwardedHeaders(request: IncomingMessage): string[] {
  const raw = request.rawHeaders;
  const listed = listedBy(request.headers.connection);
  const kept: string[] = [];
  for (let i = 0; i < raw.length; i += 2) {
    const name = raw[i] ?? "";
    const lower = name.toLowerCase();
    if (hopByHop.has(lower) || listed?.includes(`,${lower},`) === true) continue;
    kept.push(name, raw[i + 1] ?? "");
  }
  return kept;
}

/** One exchange: what undici tells about the upstream response goes to the downstream one. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  #abort: ((error?: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #isWaiting = false;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.once("close", () => {
      if (!response.writableFinished) this.#abort?.(new Error("the client went away"));
    });
  }

  onConnect(abort: (error?: Error) => void): void {
    if (this.#response.destroyed) abort(new Error("the client went away"));
    else this.#abort = abort;
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void, statusText: string): boolean {
    if (status < 200) return true;
    this.#resume = resume;
    const headers: string[] = [];
    for (let i = 0; i < raw.length; i += 2) {
      const name = raw[i]?.toString("latin1") ?? "";
      if (hopByHop.has(name.toLowerCase())) continue;
      headers.push(name, raw[i + 1]?.toString("latin1") ?? "");
    }
    this.#response.writeHead(status, statusText, headers);
    return true;
  }

  onData(chunk: Buffer): boolean {
    if (this.#response.write(chunk)) return true;
    if (!this.#isWaiting) {
      this.#isWaiting = true;
      this.#response.once("drain", () => {
        this.#isWaiting = false;
        this.#resume?.();
      });
    }
    return false;
  }

  onComplete(): void {
    this.#response.end();
  }

  onError(error: Error): void {
    if (this.#response.headersSent) this.#response.destroy(error);
    else this.#response.writeHead(502, { "content-length": "0" }).end();
  }
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers["transfer-encoding"] !== undefined || (request.headers["content-length"] ?? "0") !== "0";
}

const server = createServer({ keepAliveTimeout: 60_000, headersTimeout: 10_000, requestTimeout: 0 });
server.on("request", (request, response) => {
  response.sendDate = false;
  const pool = isForSandbox(request.headers["baggage"] as string | undefined) ? sandbox : baseline;
  const options: Dispatcher.DispatchOptions = {
    path: request.url ?? "/",
    method: request.method as Dispatcher.HttpMethod,
    headers: forwardedHeaders(request),
    body: hasBody(request) ? request : null,
  };
  pool.dispatch(options, new Exchange(response));
});
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
process.once("SIGTERM", () => process.exit(0));
