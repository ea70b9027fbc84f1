// What the servers beside the request path have in common: the admin server and the port for the app. Guarantees:
//
// - Never on the request path, and nothing that is sent to it ends the process: a handler that throws is a 500.
// - Every answer has `server: sidelane` and `cache-control: no-store`, every whole one a length; every error is a problem
//   (RFC 9457) that says what to do instead.
// - Everything is bounded: head, body, time, connections.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Log } from "../base/log.ts";
import { formatEndpoint, parseEndpoint } from "../routing/endpoint-name.ts";
import { problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import { isLoopback, refusal } from "./guard.ts";
import type { GuardedAddress } from "./guard.ts";
import { createServer, STATUS_CODES } from "./node-http.ts";
import { parseQuery } from "./query.ts";
import { describeRoutes } from "./route.ts";
import type { Route, StreamAnswer } from "./route.ts";

const HEAD_BYTES_MAX = 16 * 1024;
/** After `close()` running answers get this long. */
const CLOSE_MS = 1000;

/** Deadlines of one connection; only tests change them. */
export interface ServerTimeouts {
  /** From the first byte of a head to its last. */
  readonly headMs: number;
  /** From the first byte of a request to its last. */
  readonly requestMs: number;
  /** A kept-alive connection without a request. */
  readonly idleMs: number;
}

const defaultTimeouts: ServerTimeouts = { headMs: 5000, requestMs: 10_000, idleMs: 5000 };

/** What tells one server from another. */
export interface ServerOptions<Backend> {
  /** `host:port`, port 0 for any free one. */
  readonly address: string;
  /** The field of the config that has the address, as `admin.address`. */
  readonly setting: string;
  readonly name: "admin" | "ownership";
  readonly routes: readonly Route<Backend>[];
  readonly backend: Backend;
  readonly log: Log;
  readonly connectionsMax: number;
  /** Of one request; more is answered with 413. */
  readonly bodyBytesMax: number;
  readonly timeouts?: ServerTimeouts | undefined;
}

/** A running server. */
export interface HttpServer {
  /** `host:port` as bound: with the real port when 0 was asked for. */
  readonly address: string;
  /** Stops listening, ends idle connections at once and busy ones when they have their answer, at most `CLOSE_MS` later. */
  close(): Promise<void>;
}

/** An address cannot be had. `message` is a sentence for people. */
export class ServerAddressError extends Error {
  override readonly name = "ServerAddressError";
  readonly address: string;
  /** Of the system error: EADDRINUSE, EACCES ... */
  readonly code: string;

  constructor(setting: string, address: string, code: string, what: string) {
    super(`cannot listen on ${setting} ${address}: ${what}`);
    this.address = address;
    this.code = code;
  }
}

/** Listens; rejects with a `ServerAddressError`. */
export async function startHttpServer<Backend>(options: ServerOptions<Backend>): Promise<HttpServer> {
  const { address, setting, name, log, timeouts = defaultTimeouts } = options;
  const endpoint = parseEndpoint(address, true);
  if ("problem" in endpoint) {
    throw new ServerAddressError(setting, address, "EINVAL", `${endpoint.problem}, ${endpoint.hint}`);
  }

  const guarded = { host: endpoint.host, loopback: true };
  const server = createServer(
    {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: timeouts.headMs,
      requestTimeout: timeouts.requestMs,
      keepAliveTimeout: timeouts.idleMs,
      connectionsCheckingInterval: Math.min(timeouts.headMs, 1000),
      requireHostHeader: false, // guard.ts asks for it, with a better answer
    },
    (request, response) => void serve(request, response, server, options, guarded),
  );
  server.maxConnections = options.connectionsMax;
  // A client that does not read its answer. Longer than the other deadlines, which give an answer before they close.
  server.timeout = 2 * timeouts.requestMs;
  server.on("clientError", answerClientError);

  await listen(server, endpoint.host, endpoint.port, address, setting);
  server.on("error", (error) => log.error(`the ${name} server has a problem`, { error: error.message }));
  const bound = server.address() as AddressInfo; // not a pipe, and listening
  guarded.loopback = isLoopback(bound.address);
  return { address: formatEndpoint({ host: bound.address, port: bound.port }), close: () => closeServer(server) };
}

function listen(server: Server, host: string, port: number, address: string, setting: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const code = error.code ?? "UNKNOWN";
      reject(new ServerAddressError(setting, address, code, listenProblem(code, setting) ?? error.message));
    });
    server.listen(port, host, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

function listenProblem(code: string, setting: string): string | undefined {
  switch (code) {
    case "EADDRINUSE": {
      const variable = `SIDELANE_${setting.replace(".", "_").toUpperCase()}`;
      return `another process has it; choose another in ${setting} or ${variable} (port 0 takes any free one)`;
    }
    case "EADDRNOTAVAIL":
      return "this machine does not have that address";
    case "EACCES":
      return "permission denied; ports below 1024 are for root";
    case "ENOTFOUND":
      return "the name does not resolve";
    case "EAI_AGAIN":
      return "the name does not resolve at the moment";
    default:
      return undefined;
  }
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => server.closeAllConnections(), CLOSE_MS);
    server.close(() => {
      clearTimeout(timer);
      resolve();
    });
    server.closeIdleConnections();
  });
}

async function serve<Backend>(
  request: IncomingMessage,
  response: ServerResponse,
  server: Server,
  options: ServerOptions<Backend>,
  address: GuardedAddress,
): Promise<void> {
  const body = readBody(request, options.bodyBytesMax);
  let answer: Answer | StreamAnswer | undefined;
  try {
    answer = await answerTo(request, body, options, address);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const asked = { method: request.method, path: pathOf(request.url) };
    options.log.error(`an ${options.name} request failed`, { ...asked, error: what });
    answer = problemAnswer(500, "the request failed inside Sidelane; its log says more");
  }
  if (answer === undefined) return;
  // What is left of a body that is too large would be taken for the next request; behind a stream there is none.
  const last = !server.listening || answer.status === 413 || "stream" in answer;
  const head = {
    server: "sidelane",
    "content-type": answer.contentType,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(last ? { connection: "close" } : {}),
  };
  if ("stream" in answer) {
    response.writeHead(answer.status, head);
    if (request.method === "HEAD") return void response.end();
    request.socket.setTimeout(0); // silence is what a stream is made of; whoever writes it drops those who do not read
    response.flushHeaders();
    return answer.stream(response);
  }
  const content = Buffer.from(answer.body);
  response.writeHead(answer.status, { ...head, "content-length": content.length, ...answer.headers });
  response.end(content); // Node leaves the body of an answer to HEAD out
}

/** Undefined when the client has gone away before its request was complete: then nothing was asked. */
async function answerTo<Backend>(
  request: IncomingMessage,
  body: Promise<Body>,
  { routes, backend, bodyBytesMax }: ServerOptions<Backend>,
  address: GuardedAddress,
): Promise<Answer | StreamAnswer | undefined> {
  const refused = refusal(request, address);
  if (refused !== undefined) return refused;
  const path = pathOf(request.url);
  const here = routes.filter((route) => route.path === path);
  if (here.length === 0) {
    return problemAnswer(404, `there is nothing at ${JSON.stringify(path)}`, { endpoints: describeRoutes(routes) });
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const route = here.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const allow = here.map((one) => (one.method === "GET" ? "GET, HEAD" : one.method)).join(", ");
    return problemAnswer(405, `${path} takes ${allow}, not ${request.method}`, {}, { allow });
  }
  const query = parseQuery(queryOf(request.url), route.parameters);
  if ("status" in query) return query;
  const got = await body;
  if (got === "cut off") return undefined;
  if (got === "too large") return problemAnswer(413, `a body of more than ${bodyBytesMax} bytes is not read`);
  return route.answer(backend, query, got);
}

type Body = Buffer | "too large" | "cut off";

/** Resolves when the body has ended, or as soon as it is too large; what comes then is read and dropped. */
function readBody(request: IncomingMessage, bytesMax: number): Promise<Body> {
  return new Promise((resolve) => {
    let chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length <= bytesMax) return void chunks.push(chunk);
      chunks = [];
      resolve("too large");
    });
    request.on("end", () => resolve(Buffer.concat(chunks)));
    // After "end" this changes nothing.
    request.on("close", () => resolve("cut off"));
    request.on("error", () => resolve("cut off"));
  });
}

/** The path of a request target in origin-form or absolute-form (RFC 9112 §3.2), as it came: no endpoint has escapes. */
function pathOf(target = ""): string {
  return target.replace(/^https?:\/\/[^/?#]*/iu, "").replace(/[?#].*$/su, "") || "/";
}

function queryOf(target = ""): string {
  const at = target.indexOf("?");
  return at === -1 ? "" : target.slice(at + 1);
}

/** What Node could not parse or did not get in time; there is no response object to answer with. */
function answerClientError(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (error.code === "ECONNRESET" || !socket.writable) return void socket.destroy();
  const { status, detail } = clientErrors[error.code ?? ""] ?? { status: 400, detail: "this is not valid HTTP/1.1" };
  const { body, contentType } = problemAnswer(status, detail);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nserver: sidelane\r\ncontent-type: ${contentType}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\ncache-control: no-store\r\nconnection: close\r\n\r\n${body}`,
  );
}

const clientErrors: Readonly<Record<string, { readonly status: number; readonly detail: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, detail: `a request head has at most ${HEAD_BYTES_MAX} bytes` },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, detail: "the request did not arrive in time" },
};
