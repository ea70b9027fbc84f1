// WebSocket servers and clients of the package `ws`, for tests.
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { onTestFinished } from "vitest";
import { type ClientOptions, type RawData, type ServerOptions, WebSocket, WebSocketServer } from "ws";

/** A running server. */
export interface WebSocketApp {
  readonly name: string;
  readonly server: WebSocketServer;
  /** Ends every connection and accepts no more. */
  close(): Promise<void>;
}

/** Starts a server on any free port; closed when the test is over. */
export async function startWebSocketApp(
  serve: (socket: WebSocket) => void,
  options: ServerOptions = {},
): Promise<WebSocketApp> {
  const http = createHttpServer((_request, response) => void response.writeHead(426).end());
  const server = new WebSocketServer({ server: http, ...options });
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    serve(socket);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  const close = async (): Promise<void> => {
    for (const socket of server.clients) socket.terminate();
    server.close();
    http.closeAllConnections();
    if (http.listening) await new Promise((resolve) => void http.close(resolve));
  };
  onTestFinished(close);
  return { name: `127.0.0.1:${(http.address() as AddressInfo).port}`, server, close };
}

/** Sends every message back as it came. */
export function echo(socket: WebSocket): void {
  socket.on("message", (message: RawData, binary: boolean) => socket.send(message, { binary }));
}

/** A client whose messages are taken one by one. */
export class WebSocketPeer {
  readonly socket: WebSocket;
  readonly #messages: (string | Buffer)[] = [];
  #wake: (() => void)[] = [];
  /** Code and reason with which the connection was closed. */
  closing: { readonly code: number; readonly reason: string } | undefined;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on("error", () => {});
    socket.on("message", (message: RawData, binary: boolean) => {
      this.#messages.push(binary ? (message as Buffer) : (message as Buffer).toString());
      this.#awake();
    });
    socket.on("close", (code: number, reason: Buffer) => {
      this.closing = { code, reason: reason.toString() };
      this.#awake();
    });
  }

  #awake(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  /** The next message: text as a string, binary as bytes. */
  async message(): Promise<string | Buffer> {
    for (;;) {
      const message = this.#messages.shift();
      if (message !== undefined) return message;
      if (this.closing !== undefined) throw new Error(`closed: ${JSON.stringify(this.closing)}`);
      await new Promise<void>((resolve) => this.#wake.push(resolve));
    }
  }

  /** Resolves when the connection is closed, to how. */
  async closed(): Promise<{ readonly code: number; readonly reason: string }> {
    while (this.closing === undefined) await new Promise<void>((resolve) => this.#wake.push(resolve));
    return this.closing;
  }
}

/** Connects; rejects with `Unexpected server response: <status>` when the upgrade is refused. Closed when the test is over. */
export async function connectWebSocket(port: number, options: ClientOptions = {}, path = "/"): Promise<WebSocketPeer> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, options);
  onTestFinished(() => socket.terminate());
  const peer = new WebSocketPeer(socket);
  await new Promise<void>((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", reject);
  });
  return peer;
}
