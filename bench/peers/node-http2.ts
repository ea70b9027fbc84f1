// A peer: an HTTP/2 proxy as it is usually written with `node:http2`: the stream API on both sides, header objects,
// `pipeline`, trailers, a few sessions to each backend that all clients share. One process, backpressure.
//
// Usage: node bench/peers/node-http2.ts PORT BASELINE_PORT SANDBOX_PORT

import {
  connect,
  constants,
  createServer,
  type ClientHttp2Session,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from "node:http2";
import { pipeline } from "node:stream";
import { isForSandbox } from "./node-rules.ts";

const [port, baselinePort, sandboxPort] = process.argv.slice(2).map(Number);

/** Sessions to one backend. More than one, because a peer may allow no more than 100 streams on each. */
const sessionsMax = 4;
const windowBytes = 2 ** 20;
const settings = { initialWindowSize: windowBytes, maxConcurrentStreams: 250, enablePush: false };

class SessionPool {
  readonly #url: string;
  readonly #sessions: ClientHttp2Session[] = [];
  #turn = 0;

  constructor(backendPort: number | undefined) {
    this.#url = `http://127.0.0.1:${backendPort}`;
  }

  session(): ClientHttp2Session {
    this.#turn = (this.#turn + 1) % sessionsMax;
    const known = this.#sessions[this.#turn];
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connect(this.#url, { settings });
    session.on("connect", () => session.setLocalWindowSize(16 * windowBytes));
    session.on("error", () => session.destroy());
    this.#sessions[this.#turn] = session;
    return session;
  }
}

const baseline = new SessionPool(baselinePort);
const sandbox = new SessionPool(sandboxPort);

function forward(downstream: ServerHttp2Stream, headers: IncomingHttpHeaders, hasEnded: boolean): void {
  const pool = isForSandbox(headers["baggage"] as string | undefined) ? sandbox : baseline;
  const upstream = pool.session().request(headers, { endStream: hasEnded });
  let trailers: IncomingHttpHeaders = {};
  const fail = (): void => {
    if (!downstream.headersSent && !downstream.destroyed) downstream.respond({ ":status": 502 }, { endStream: true });
    else downstream.close(constants.NGHTTP2_INTERNAL_ERROR);
  };
  upstream.on("response", (answer, flags) => {
    if (downstream.destroyed) return;
    if ((flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0) {
      downstream.respond(answer, { endStream: true });
      return;
    }
    downstream.respond(answer, { waitForTrailers: true });
    // Without fields this is an empty DATA frame that ends the stream.
    downstream.on("wantTrailers", () => downstream.sendTrailers(trailers));
    pipeline(upstream, downstream, () => undefined);
  });
  upstream.on("trailers", (received) => (trailers = received));
  upstream.on("error", fail);
  downstream.on("error", () => upstream.close(constants.NGHTTP2_CANCEL));
  downstream.on("close", () => {
    if (!upstream.closed) upstream.close(constants.NGHTTP2_CANCEL);
  });
  if (!hasEnded) pipeline(downstream, upstream, () => undefined);
}

const server = createServer({ settings });
server.on("session", (session) => session.setLocalWindowSize(16 * windowBytes));
server.on("stream", (stream, headers, flags) => {
  forward(stream, headers, (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0);
});
server.on("sessionError", () => undefined);
server.listen({ port, host: "127.0.0.1", backlog: 4096 });
process.once("SIGTERM", () => process.exit(0));
