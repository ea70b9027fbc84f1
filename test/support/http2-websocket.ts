// WebSocket over HTTP/2 (RFC 8441): the package `ws` on streams of node:http2. By itself `ws` opens it over HTTP/1.1 alone.
import type { ClientHttp2Session, IncomingHttpHeaders, OutgoingHttpHeaders, ServerHttp2Stream } from "node:http2";
import type { Duplex } from "node:stream";
import { onTestFinished } from "vitest";
import { WebSocket } from "ws";
import { type Http2App, type ResponseHead, responseOf, startHttp2App } from "./http2-app.ts";
import { WebSocketPeer } from "./websocket.ts";

/** What `ws` calls when a handshake of its own is over, and a fake handshake would have to be made for. */
interface Switched extends WebSocket {
  _isServer: boolean;
  setSocket(stream: Duplex, head: Buffer, options: { readonly maxPayload: number }): void;
}
type SwitchedClass = new (address: null, protocols: undefined, options: object) => Switched;

const MAX_PAYLOAD_BYTES = 64 * 1024 * 1024;
const NO_BYTES = Buffer.alloc(0);

/** A WebSocket whose handshake is over, on any stream. */
function webSocketOn(stream: Duplex, side: "client" | "server"): WebSocket {
  const socket = new (WebSocket as unknown as SwitchedClass)(null, undefined, { autoPong: true, closeTimeout: 2_000 });
  socket._isServer = side === "server";
  socket.setSocket(stream, NO_BYTES, { maxPayload: MAX_PAYLOAD_BYTES });
  return socket;
}

/** A tunnel as its server sees it. */
export interface ServedWebSocket {
  readonly socket: WebSocket;
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
}

/** A running server. */
export interface Http2WebSocketApp extends Http2App {
  /** Tunnels so far. */
  readonly served: readonly ServedWebSocket[];
}

/**
 * Starts a server that takes a WebSocket at every path but `/refused`, where it answers 403 with a text, and that answers
 * other requests with `hello`. Closed when the test is over.
 */
export async function startHttp2WebSocketApp(serve: (socket: WebSocket) => void): Promise<Http2WebSocketApp> {
  const served: ServedWebSocket[] = [];
  const app = await startHttp2App(
    (stream, headers) => {
      if (headers[":path"] === "/refused") {
        stream.respond({ ":status": 403, "content-type": "text/plain" });
        stream.end("not you");
        return;
      }
      if (headers[":protocol"] !== "websocket") {
        stream.resume();
        stream.respond({ ":status": 200 });
        stream.end("hello");
        return;
      }
      stream.respond({ ":status": 200, ...echoed(headers, "sec-websocket-protocol") });
      const socket = webSocketOn(stream, "server");
      socket.on("error", () => {});
      served.push({ socket, stream, headers });
      serve(socket);
    },
    { settings: { enableConnectProtocol: true } },
  );
  return { ...app, served };
}

function echoed(headers: IncomingHttpHeaders, name: string): OutgoingHttpHeaders {
  const value = headers[name];
  return value === undefined ? {} : { [name]: value };
}

/** Resolves when the other side takes extended CONNECT (RFC 8441 §3). */
export function extendedConnectOf(session: ClientHttp2Session): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (session.remoteSettings.enableConnectProtocol === true) resolve();
    };
    session.on("remoteSettings", look);
    look();
  });
}

/** Opens a WebSocket on a stream of the session; rejects with `answered <status>` when it is refused. */
export async function openWebSocket(
  session: ClientHttp2Session,
  headers: OutgoingHttpHeaders = {},
): Promise<WebSocketPeer & { readonly head: ResponseHead }> {
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":authority": "checkout",
    ":path": "/chat",
    "sec-websocket-version": "13",
    ...headers,
  });
  stream.on("error", () => {});
  const head = await responseOf(stream);
  if (head[":status"] !== 200) {
    stream.close();
    throw new Error(`answered ${head[":status"]}`);
  }
  const socket = webSocketOn(stream, "client");
  onTestFinished(() => socket.terminate());
  return Object.assign(new WebSocketPeer(socket), { head });
}
