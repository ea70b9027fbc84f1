// A service of which the author has forgotten the routing key: it asks another service for each request that it gets, through
// the outbound listener of its sidecar, and passes on of the head what `propagate` says. On node:http, and on node:http2 for
// gRPC.
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
  createServer,
  request as send,
} from "node:http";
import { type ClientHttp2Session, type ServerHttp2Stream, connect } from "node:http2";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream/promises";
import { onTestFinished } from "vitest";
import { startHttp2App } from "./http2-app.ts";

/** What of a request's head goes into the request that is made for it. `host` in it says whom to ask; default: checkout. */
export type Propagate = (headers: IncomingHttpHeaders) => OutgoingHttpHeaders;

/** A running app. */
export interface KeyDroppingApp {
  readonly name: string;
  /** Port of the outbound listener; to be set before the first request. */
  outboundPort: number;
  /** Requests so far. */
  arrived: number;
  /** Awaited before the other service is asked. */
  ready: Promise<void>;
  propagate: Propagate;
}

/** Passes these fields on and nothing else. */
export function only(...names: readonly string[]): Propagate {
  return (headers) => Object.fromEntries(names.map((name) => [name, headers[name]]).filter(([, value]) => value));
}

/** Starts one that speaks HTTP/1.1; closed when the test is over. */
export async function startKeyDroppingApp(propagate: Propagate): Promise<KeyDroppingApp> {
  const app = { name: "", outboundPort: 0, arrived: 0, ready: Promise.resolve(), propagate };
  const server = createServer((request, response) => void serve(request, response));
  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    app.arrived++;
    await app.ready;
    const headers = { host: "checkout", ...app.propagate(request.headers) };
    const asked = send({ port: app.outboundPort, path: "/pay?card=4711", headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.headers);
      answer.pipe(response);
    });
    asked.on("error", () => response.destroy());
    asked.end();
  }
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  app.name = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return app;
}

/** Starts one that passes HTTP/2 requests on, bodies and trailers included, as a gRPC service does that asks another. */
export async function startKeyDroppingHttp2App(propagate: Propagate): Promise<KeyDroppingApp> {
  const made = { name: "", outboundPort: 0, arrived: 0, ready: Promise.resolve(), propagate };
  let session: ClientHttp2Session | undefined;
  const { name } = await startHttp2App(async (stream, headers) => {
    made.arrived++;
    await made.ready;
    if (session === undefined) {
      session = connect(`http://127.0.0.1:${made.outboundPort}`);
      session.on("error", () => {});
      onTestFinished(() => session?.destroy());
    }
    await passOn(stream, session, {
      ":method": headers[":method"],
      ":path": headers[":path"],
      ":authority": "checkout",
      ...only("content-type", "te")(headers),
      ...made.propagate(headers),
    });
  });
  made.name = name;
  return made;
}

async function passOn(stream: ServerHttp2Stream, to: ClientHttp2Session, headers: OutgoingHttpHeaders): Promise<void> {
  const asked = to.request(headers);
  let trailers: OutgoingHttpHeaders = {};
  asked.on("trailers", (fields) => (trailers = fields));
  const head = new Promise<void>((resolve, reject) => {
    asked.once("error", reject);
    asked.once("response", (fields) => {
      stream.respond(fields, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers(trailers));
      resolve();
    });
  });
  await Promise.all([pipeline(stream, asked), head.then(() => pipeline(asked, stream))]);
}
