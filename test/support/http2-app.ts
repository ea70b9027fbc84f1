// Real peers on node:http2: an app for bodies and trailers, and a client.
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
  type Http2Server,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  connect,
  createServer,
} from "node:http2";
import type { AddressInfo } from "node:net";
import { finished, pipeline } from "node:stream/promises";
import { onTestFinished } from "vitest";
import { bodyStream, streamDigest } from "./stream.ts";

/** A running app. */
export interface Http2App {
  readonly name: string;
  /** Sessions so far, the ended ones included. */
  readonly sessions: readonly ServerHttp2Session[];
}

/** Starts an app; closed when the test is over. */
export async function startHttp2App(
  handler: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void | Promise<void>,
  options: Parameters<typeof createServer>[0] = {},
): Promise<Http2App> {
  const server: Http2Server = createServer(options);
  const sessions: ServerHttp2Session[] = [];
  server.on("session", (session) => sessions.push(session));
  server.on("sessionError", () => {});
  server.on("stream", (stream, headers) => {
    stream.on("error", () => {});
    void Promise.resolve(handler(stream, headers)).catch(() => stream.destroy());
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(
    () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        for (const session of sessions) session.destroy();
      }),
  );
  return { name: `127.0.0.1:${(server.address() as AddressInfo).port}`, sessions };
}

/** An app that answers everything with a short text. */
export function startHelloApp(options?: Parameters<typeof createServer>[0]): Promise<Http2App> {
  return startHttp2App((stream) => {
    stream.resume();
    stream.respond({ ":status": 200 });
    stream.end("hello");
  }, options);
}

/**
 * An app for large bodies: POST is answered with the digest and length of its body, POST /echo with the body itself, and
 * GET /<bytes> with a body of that length and a trailer.
 */
export function startHttp2BodyApp(): Promise<Http2App> {
  return startHttp2App(async (stream, headers) => {
    const path = String(headers[":path"]).slice(1);
    if (headers[":method"] === "POST" && path === "echo") {
      stream.respond({ ":status": 200 });
      await pipeline(stream, stream);
      return;
    }
    if (headers[":method"] === "POST") {
      const { digest, length } = await streamDigest(stream);
      stream.respond({ ":status": 200 });
      stream.end(`${digest} ${length}`);
      return;
    }
    stream.respond({ ":status": 200 }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "x-end": "1" }));
    await pipeline(bodyStream(Number(path)), stream);
  });
}

/** A client on node:http2; closed when the test is over. */
export async function connectHttp2(
  port: number,
  options: { readonly settings?: object } = {},
): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`, options);
  onTestFinished(() => session.destroy());
  session.on("error", () => {});
  await new Promise<void>((resolve, reject) => {
    session.once("connect", () => resolve());
    session.once("error", reject);
  });
  return session;
}

/** The head of a response. */
export type ResponseHead = IncomingHttpHeaders & IncomingHttpStatusHeader;

/** Sends a request without a body. */
export function send(session: ClientHttp2Session, headers: OutgoingHttpHeaders = {}): ClientHttp2Stream {
  return session.request(
    { ":path": "/", ":authority": "checkout", ...headers },
    { endStream: headers[":method"] !== "POST" },
  );
}

/** Resolves with the response's head. */
export function responseOf(stream: ClientHttp2Stream): Promise<ResponseHead> {
  return new Promise((resolve, reject) => {
    stream.once("response", resolve);
    stream.once("error", reject);
    stream.once("close", () => reject(new Error(`closed with ${stream.rstCode} before the response`)));
  });
}

/** Resolves with status and body of the answer to a request without a body. */
export async function fetchHttp2(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders = {},
): Promise<{ readonly status: number; readonly body: string; readonly head: ResponseHead }> {
  const stream = send(session, headers);
  const [head, body] = await Promise.all([responseOf(stream), textOf(stream)]);
  return { status: head[":status"] ?? 0, body, head };
}

/** Resolves with the body of a response. Called at once: node:http2 throws away what nobody reads of a closed stream. */
export async function textOf(stream: ClientHttp2Stream): Promise<string> {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  await finished(stream, { writable: false });
  return Buffer.concat(chunks).toString();
}
