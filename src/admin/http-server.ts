// What the servers beside the request path have in common: the admin server, the port for the app, and the API of the control
// plane. Guarantees:
//
// - Never on the request path, and nothing that is sent to it ends the process: a handler that throws is a 500.
// - Every answer has `server: sidelane` and `cache-control: no-store`, every whole one a length; every error is a problem
//   (RFC 9457) that says what to do instead.
// - Everything is bounded: head, body, time, connections.

import type { IncomingMessage, Server, ServerOptions as NodeOptions, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { Server as SecureServer } from "node:https";
import type { Log } from "../base/log.ts";
import { listen } from "../base/listen.ts";
import { parseListenAddress } from "../config/listen-address.ts";
import { formatEndpoint } from "../routing/endpoint-name.ts";
import { problemAnswer } from "./answer.ts";
import { ConnectionRoom } from "./connection-room.ts";
import type { Answer } from "./answer.ts";
import { isLoopback, refusal } from "./guard.ts";
import type { GuardedAddress } from "./guard.ts";
import { createServer, STATUS_CODES } from "./node-http.ts";
import { parseQuery } from "./query.ts";
import { describeRoutes, matchPath } from "./route.ts";
import type { Asked, Route, StreamAnswer } from "./route.ts";

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
  /** `host:port`, `*:port` for all addresses, port 0 for any free one. */
  readonly address: string;
  /** The field of the config that has the address, as `admin.address`. */
  readonly setting: string;
  readonly name: "admin" | "open admin" | "ownership" | "control" | "webhook";
  /** Of the environment twin of `setting`. Default: `SIDELANE_`. */
  readonly variablePrefix?: string;
  readonly routes: readonly Route<Backend>[];
  readonly backend: Backend;
  readonly log: Log;
  /** Of those beyond it the one that has waited longest for a request is closed. */
  readonly connectionsMax: number;
  /** Of one request; more is answered with 413. */
  readonly bodyBytesMax: number;
  readonly timeouts?: ServerTimeouts | undefined;
  /** Absent: without TLS. */
  readonly tls?: TlsContents | undefined;
  /** Asked about each request whose route was found; what it gives is the route's backend. Absent: everybody is let in. */
  readonly admit?: ((request: IncomingMessage, route: Route<Backend>) => Promise<Admission<Backend>>) | undefined;
  /** Told of each answer: method, pattern of the route ("" where there is none) and status. */
  readonly onAnswer?: ((method: string, route: string, status: number) => void) | undefined;
  /** For requests with `Upgrade: websocket` to `path`, once they are past the guard. Absent: such a request is as any other. */
  readonly upgrade?:
    | { readonly path: string; readonly take: (request: IncomingMessage, socket: Duplex, head: Buffer) => void }
    | undefined;
}

/** PEM. With `ca` clients are asked for a certificate; one that is not of these authorities counts as none. */
export interface TlsContents {
  readonly certificate: string;
  readonly key: string;
  readonly ca?: string | undefined;
}

/** Whether a request is let in, and as what. */
export type Admission<Backend> = { readonly backend: Backend } | { readonly refused: Answer };

/** A running server. */
export interface HttpServer {
  /** `host:port` as bound: with the real port when 0 was asked for. */
  readonly address: string;
  /** For connections from now on; throws when it cannot be used. Only with `tls`. */
  secure(contents: TlsContents): void;
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
  const endpoint = parseListenAddress(address);
  if ("problem" in endpoint) {
    throw new ServerAddressError(setting, address, "EINVAL", `${endpoint.problem}, ${endpoint.hint}`);
  }

  const guarded = { host: endpoint.host, loopback: true };
  const server = await newServer(options, timeouts);
  const room = new ConnectionRoom(server, options.connectionsMax);
  server.on("request", (request, response) => void serve(request, response, server, options, guarded));
  const { upgrade } = options;
  const upgraded = new Set<Duplex>();
  if (upgrade !== undefined) {
    server.on("upgrade", (request, socket, head) => {
      // The server has let go of it.
      socket.on("error", () => socket.destroy());
      socket.on("close", () => upgraded.delete(socket));
      upgraded.add(socket);
      room.hold(request.socket);
      const refused = isUpgrade(request, upgrade.path) ? refusal(request, guarded) : problemAnswer(400, NO_UPGRADE);
      if (refused === undefined) upgrade.take(request, socket, head);
      else endWith(socket, refused);
    });
  }
  // A client that does not read its answer. Longer than the other deadlines, which give an answer before they close.
  server.timeout = 2 * timeouts.requestMs;
  server.on("clientError", answerClientError);

  await listen(server, endpoint).catch((error: unknown) => {
    throw addressError(error, options);
  });
  server.on("error", (error) => log.error(`the ${name} server has a problem`, { error: error.message }));
  const bound = server.address() as AddressInfo; // not a pipe, and listening
  guarded.loopback = isLoopback(bound.address);
  return {
    address: formatEndpoint({ host: bound.address, port: bound.port }),
    secure(contents) {
      (server as SecureServer).setSecureContext(secureOptions(contents));
    },
    close: () => closeServer(server, upgraded),
  };
}

const NO_UPGRADE = "this connection can only become a WebSocket, and only where that is offered";

async function newServer<Backend>(options: ServerOptions<Backend>, timeouts: ServerTimeouts): Promise<Server> {
  const { tls, upgrade } = options;
  const settings: NodeOptions = {
    maxHeaderSize: HEAD_BYTES_MAX,
    headersTimeout: timeouts.headMs,
    requestTimeout: timeouts.requestMs,
    keepAliveTimeout: timeouts.idleMs,
    connectionsCheckingInterval: Math.min(timeouts.headMs, 1000),
    requireHostHeader: false, // guard.ts asks for it, with a better answer
    // `curl --http2` asks for h2c with every request: whoever cannot have what they ask for gets HTTP/1.1.
    ...(upgrade === undefined ? {} : { shouldUpgradeCallback: (request) => isUpgrade(request, upgrade.path) }),
  };
  if (tls === undefined) return createServer(settings);
  const { createSecureServer } = await import("./node-https.ts"); // TLS costs memory that admin servers do not need
  return createSecureServer({ ...settings, ...secureOptions(tls), handshakeTimeout: timeouts.headMs });
}

function secureOptions({ certificate, key, ca }: TlsContents) {
  // Not rejected in the handshake: then the answer could not say what is wrong.
  const clients = ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: false };
  return { cert: certificate, key, minVersion: "TLSv1.2" as const, ...clients };
}

function isUpgrade({ method, url, headers }: IncomingMessage, path: string): boolean {
  return method === "GET" && pathOf(url) === path && headers.upgrade?.toLowerCase() === "websocket";
}

function addressError(
  error: unknown,
  {
    address,
    setting,
    variablePrefix: prefix = "SIDELANE_",
  }: Pick<ServerOptions<never>, "address" | "setting" | "variablePrefix">,
): ServerAddressError {
  const { code = "UNKNOWN", message } = error as NodeJS.ErrnoException;
  return new ServerAddressError(setting, address, code, listenProblem(code, setting, prefix) ?? message);
}

function listenProblem(code: string, setting: string, prefix: string): string | undefined {
  switch (code) {
    case "EADDRINUSE": {
      const variable = `${prefix}${setting.replace(".", "_").toUpperCase()}`;
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

function closeServer(server: Server, upgraded: ReadonlySet<Duplex>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.closeAllConnections();
      for (const socket of upgraded) socket.destroy();
    }, CLOSE_MS);
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
  let pattern = "";
  const routed = (path: string): void => void (pattern = path);
  try {
    answer = await answerTo(request, body, options, address, routed);
  } catch (error) {
    const what = error instanceof Error ? error.message : String(error);
    const asked = { method: request.method, path: pathOf(request.url) };
    options.log.error(`an ${options.name} request failed`, { ...asked, error: what });
    answer = problemAnswer(500, "the request failed inside Sidelane; its log says more");
  }
  if (answer === undefined) return;
  options.onAnswer?.(request.method ?? "", pattern, answer.status);
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
  { routes, backend, bodyBytesMax, admit }: ServerOptions<Backend>,
  address: GuardedAddress,
  routed: (pattern: string) => void,
): Promise<Answer | StreamAnswer | undefined> {
  const refused = refusal(request, address);
  if (refused !== undefined) return refused;
  const path = pathOf(request.url);
  const here = routes.filter((route) => matchPath(route.path, path) !== undefined);
  if (here.length === 0) {
    return problemAnswer(404, `there is nothing at ${JSON.stringify(path)}`, { endpoints: describeRoutes(routes) });
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const route = here.find((candidate) => candidate.method === method);
  if (route === undefined) {
    const allow = here.map((one) => (one.method === "GET" ? "GET, HEAD" : one.method)).join(", ");
    return problemAnswer(405, `${path} takes ${allow}, not ${request.method}`, {}, { allow });
  }
  routed(route.path);
  const admitted = admit === undefined ? { backend } : await admit(request, route);
  if ("refused" in admitted) return admitted.refused;
  const query = parseQuery(queryOf(request.url), route.parameters);
  if ("status" in query) return query;
  const got = await body;
  if (got === "cut off") return undefined;
  if (got === "too large") return problemAnswer(413, `a body of more than ${bodyBytesMax} bytes is not read`);
  const asked: Asked = { path: matchPath(route.path, path) ?? new Map(), headers: request.headers };
  return route.answer(admitted.backend, query, got, asked);
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
  endWith(socket, problemAnswer(status, detail));
}

/** Writes an answer where there is no response object. */
export function endWith(socket: Duplex, { status, contentType, body, headers = {} }: Answer): void {
  const more = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nserver: sidelane\r\ncontent-type: ${contentType}\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\ncache-control: no-store\r\n${more.join("")}` +
      `connection: close\r\n\r\n${body}`,
  );
}

const clientErrors: Readonly<Record<string, { readonly status: number; readonly detail: string }>> = {
  HPE_HEADER_OVERFLOW: { status: 431, detail: `a request head has at most ${HEAD_BYTES_MAX} bytes` },
  ERR_HTTP_REQUEST_TIMEOUT: { status: 408, detail: "the request did not arrive in time" },
};
