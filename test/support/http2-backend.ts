// HTTP/2 backends in the hands of a test: one that the test scripts frame by frame, and one that answers by itself.
import { type AddressInfo, type Server, type Socket, createServer } from "node:net";
import { onTestFinished } from "vitest";
import { Http2Peer, type PeerOptions } from "./http2-peer.ts";
import type { PeerStream } from "./http2-stream.ts";

/** A wait that takes longer says so. */
const PATIENCE_MS = 15_000;

/** A server whose requests the test takes one by one, from whichever connection they come. */
export class Http2Backend {
  readonly port: number;
  /** Every connection so far. */
  readonly connections: Http2Peer[] = [];
  readonly #server: Server;
  readonly #connections = new Queue<Http2Peer>("no connection came");
  readonly #requests = new Queue<PeerStream>("no request came");
  /** What every connection is told at its beginning. */
  options: PeerOptions;
  /** Takes the requests instead of `next`. */
  answer: ((stream: PeerStream) => void) | undefined;

  constructor(server: Server, options: PeerOptions) {
    this.#server = server;
    this.options = options;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (socket: Socket) => {
      const peer = new Http2Peer(socket, "server", this.options);
      peer.onRequest = (stream) => {
        if (this.answer === undefined) this.#requests.put(stream);
        else this.answer(stream);
      };
      this.connections.push(peer);
      this.#connections.put(peer);
    });
  }

  get name(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Connections that are still open. */
  get open(): number {
    return this.connections.filter(({ ending }) => ending === undefined).length;
  }

  /** Requests so far, on all connections. */
  get requests(): number {
    return this.connections.reduce((sum, { streams }) => sum + streams.size, 0);
  }

  /** The next connection that nobody has taken. */
  accept(): Promise<Http2Peer> {
    return this.#connections.take();
  }

  /** The next request that nobody has taken; its head is there. */
  next(): Promise<PeerStream> {
    return this.#requests.take();
  }

  /** Requests that nobody has taken. */
  get untaken(): number {
    return this.#requests.size;
  }

  /** Closes the listening socket and every connection, and fails for what the peers have seen. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
    for (const { socket } of this.connections) socket.destroy();
    await closed;
    for (const peer of this.connections) peer.expectSound();
  }
}

/** Starts a scripted backend; closed when the test is over. */
export async function startHttp2Backend(options: PeerOptions = {}, port = 0): Promise<Http2Backend> {
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  await new Promise<void>((resolve) => {
    server.listen(port, "127.0.0.1", resolve);
  });
  const backend = new Http2Backend(server, options);
  onTestFinished(() => backend.close());
  return backend;
}

/** Starts a backend that hands every request, once its head is there, to `answer`; closed when the test is over. */
export async function startHttp2Answering(
  answer: (stream: PeerStream) => void | Promise<void>,
  options: PeerOptions = {},
): Promise<Http2Backend> {
  const backend = await startHttp2Backend(options);
  // A request that goes away leaves nobody to answer.
  backend.answer = (stream) => void Promise.resolve(answer(stream)).catch(() => {});
  return backend;
}

/** Things that come, and those who wait for them. */
class Queue<T> {
  readonly #inVain: string;
  #things: T[] = [];
  #takers: ((thing: T) => void)[] = [];

  constructor(inVain: string) {
    this.#inVain = inVain;
  }

  get size(): number {
    return this.#things.length;
  }

  put(thing: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#things.push(thing);
    else taker(thing);
  }

  take(): Promise<T> {
    const [thing] = this.#things.splice(0, 1);
    if (thing !== undefined) return Promise.resolve(thing);
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.#takers = this.#takers.filter((each) => each !== taker);
        reject(new Error(this.#inVain));
      }, PATIENCE_MS);
      const taker = (one: T): void => {
        clearTimeout(late);
        resolve(one);
      };
      this.#takers.push(taker);
    });
  }
}
