// The admin server. Guarantees:
//
// - It is never on the request path, and nothing that is sent to it ends the process: a handler that throws is a 500.
// - Every answer has `server: sidelane`, `cache-control: no-store` and a length; every error is a problem (RFC 9457) that says
//   what to do instead.
// - Everything is bounded: head, body, time, connections.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Log } from "../base/log.ts";
import { formatEndpoint, parseEndpoint } from "../routing/endpoint-name.ts";
import { problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";
import type { AdminBackend } from "./backend.ts";
import { isLoopback, refusal } from "./guard.ts";
import type { GuardedAddress } from "./guard.ts";
import { createServer, STATUS_CODES } from "./node-http.ts";
import { parseQuery } from "./query.ts";
import { describeRoutes, routes } from "./routes.ts";

const HEAD_BYTES_MAX = 16 * 1024;
/** No endpoint reads a body; this much is read and dropped to keep the connection usable. */
const BODY_BYTES_MAX = 64 * 1024;
const CONNECTIONS_MAX = 256;
/** After `close()` running answers get this long. */
const CLOSE_MS = 1000;

/** Deadlines of one connection; only tests change them. */
export interface AdminTimeouts {
  /** From the first byte of a head to its last. */
  readonly headMs: number;
  /** From the first byte of a request to its last. */
  readonly requestMs: number;
  /** A kept-alive connection without a request. */
  readonly idleMs: number;
}

const defaultTimeouts: AdminTimeouts = { headMs: 5000, requestMs: 10_000, idleMs: 5000 };

/** A running admin server. */
export interface AdminServer {
  /** `host:port` as bound: with the real port when 0 was asked for. */
  readonly address: string;
  /** Stops listening, ends idle connections at once and busy ones when they have their answer, at most `CLOSE_MS` later. */
  close(): Promise<void>;
}

/** `admin.address` cannot be had. `message` is a sentence for people. */
export class AdminAddressError extends Error {
  override readonly name = "AdminAddressError";
  readonly address: string;
  /** Of the system error: EADDRINUSE, EACCES ... */
  readonly code: string;

  constructor(address: string, code: string, what: string) {
    super(`cannot listen on admin.address ${address}: ${what}`);
    this.address = address;
    this.code = code;
  }
}

/** Listens on `address` (`host:port`, port 0 for any free one); rejects with an `AdminAddressError`. */
export async function startAdmin(
  address: string,
  backend: AdminBackend,
  log: Log,
  timeouts: AdminTimeouts = defaultTimeouts,
): Promise<AdminServer> {
  const endpoint = parseEndpoint(address, true);
  if ("problem" in endpoint) throw new AdminAddressError(address, "EINVAL", `${endpoint.problem}, ${endpoint.hint}`);

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
    (request, response) => void serve(request, response, server, backend, log, guarded),
  );
  server.maxConnections = CONNECTIONS_MAX;
  // A client that does not read its answer. Longer than the other deadlines, which give an answer before they close.
  server.timeout = 2 * timeouts.requestMs;
  server.on("clientError", answerClientError);

  await listen(server, endpoint.host, endpoint.port, address);
  server.on("error", (error) => log.error("the admin server has a problem", { error: error.message }));
  const bound = server.address() as AddressInfo; // not a pipe, and listening
  guarded.loopback = isLoopback(bound.address);
  return { address: formatEndpoint({ host: bound.address, port: bound.port }), close: () => closeServer(server) };
}

function listen(server: Server, host: string, port: number, address: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", (error: NodeJS.ErrnoException) => {
      const code = error.code ?? "UNKNOWN";
      reject(new AdminAddressError(address, code, listenProblems[code] ?? error.message));
    });
    server.listen(port, host, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}

const listenProblems: Readonly<Record<string, string>> = {
  EADDRINUSE:
    "another process has it; choose another in admin.address or SIDELANE_ADMIN_ADDRESS (port 0 takes any free one)",
  EADDRNOTAVAIL: "this machine does not have that address",
  EACCES: "permission denied; ports below 1024 are for root",
  ENOTFOUND: "the name does not resolve",
  EAI_AGAIN: "the name does not resolve at the moment",
};

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

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  server: Server,
  backend: AdminBackend,
  log: Log,
  address: GuardedAddress,
): Promise<void> {
  const body = dropBody(request);
  let answer: Answer | undefined;
  try {
    answer = await answerTo(request, body, backend, address);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    log.error("an admin request failed", { method: request.method, path: pathOf(request.url), error: what });
    answer = problemAnswer(500, "the request failed inside Sidelane; its log says more");
  }
  if (answer === undefined) return;
  const content = Buffer.from(answer.body);
  // What is left of a body that is too large would be taken for the next request.
  const last = !server.listening || answer.status === 413;
  response.writeHead(answer.status, {
    server: "sidelane",
    "content-type": answer.contentType,
    "content-length": content.length,
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    ...(last ? { connection: "close" } : {}),
    ...answer.headers,
  });
  response.end(content); // Node leaves the body of an answer to HEAD out
}

/** Undefined when the client has gone away before its request was complete: then nothing was asked. */
async function answerTo(
  request: IncomingMessage,
  body: Promise<DroppedBody>,
  backend: AdminBackend,
  address: GuardedAddress,
): Promise<Answer | undefined> {
  const refused = refusal(request, address);
  if (refused !== undefined) return refused;
  const path = pathOf(request.url);
  const here = routes.filter((route) => route.path === path);
  if (here.length === 0) {
    return problemAnswer(404, `there is nothing at ${JSON.stringify(path)}`, { endpoints: describeRoutes() });
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const route = here.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const allow = here.map((one) => (one.method === "GET" ? "GET, HEAD" : one.method)).join(", ");
    return problemAnswer(405, `${path} takes ${allow}, not ${request.method}`, {}, { allow });
  }
  const query = parseQuery(queryOf(request.url), route.parameters);
  if ("status" in query) return query;
  const dropped = await body;
  if (dropped === "cut off") return undefined;
  if (dropped === "too large") return problemAnswer(413, `a body of more than ${BODY_BYTES_MAX} bytes is not read`);
  return route.answer(backend, query);
}

type DroppedBody = "complete" | "too large" | "cut off";

/** Reads and drops the body; resolves when it has ended, or as soon as it is too large. */
function dropBody(request: IncomingMessage): Promise<DroppedBody> {
  return new Promise((resolve) => {
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > BODY_BYTES_MAX) resolve("too large");
    });
    request.on("end", () => resolve("complete"));
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
