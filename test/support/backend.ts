// Backends in the hands of a test: one that the test scripts byte by byte, and one that answers by itself.
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { onTestFinished } from "vitest";
import type { Message } from "./message.ts";
import { Peer } from "./peer.ts";

/** A server whose connections the test takes one by one and answers by hand. */
export class Backend {
  readonly port: number;
  /** Every connection so far. */
  readonly connections: Peer[] = [];
  readonly #server: Server;
  #waiting: ((peer: Peer) => void)[] = [];
  #untaken: Peer[] = [];

  constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket: Socket) => {
      const peer = new Peer(socket);
      this.connections.push(peer);
      const taker = this.#waiting.shift();
      if (taker === undefined) this.#untaken.push(peer);
      else taker(peer);
    });
  }

  /** The next connection that nobody has taken. */
  accept(): Promise<Peer> {
    const peer = this.#untaken.shift();
    return peer === undefined ? new Promise((resolve) => this.#waiting.push(resolve)) : Promise.resolve(peer);
  }

  /** The first request on the next connection, and the connection to answer it on. */
  async request(): Promise<{ readonly request: Message; readonly peer: Peer }> {
    const peer = await this.accept();
    return { request: await peer.message(), peer };
  }

  get name(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Closes the listening socket and every connection: from then on connecting is refused. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const peer of this.connections) peer.socket.destroy();
    await closed;
  }
}

/** Starts a scripted backend on any free port; closed when the test is over. */
export async function startBackend(): Promise<Backend> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  const backend = new Backend(server);
  onTestFinished(() => backend.close());
  return backend;
}

/** Starts a backend that gives every request the bytes that `answer` makes of it; closed when the test is over. */
export async function startAnswering(answer: (request: Message, peer: Peer) => string): Promise<Backend> {
  const backend = await startBackend();
  void serve(backend, answer);
  return backend;
}

async function serve(backend: Backend, answer: (request: Message, peer: Peer) => string): Promise<void> {
  for (;;) void serveConnection(await backend.accept(), answer);
}

async function serveConnection(peer: Peer, answer: (request: Message, peer: Peer) => string): Promise<void> {
  for (;;) {
    const request = await peer.message().catch(() => undefined);
    if (request === undefined) {
      peer.finish();
      return;
    }
    peer.send(answer(request, peer));
  }
}

/** A whole response with Content-Length. */
export function ok(body: string, ...lines: readonly string[]): string {
  return `HTTP/1.1 200 OK\r\n${lines.map((line) => `${line}\r\n`).join("")}content-length: ${body.length}\r\n\r\n${body}`;
}
