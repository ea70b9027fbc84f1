// What a server does when there are as many connections as it takes. Refusing the newest would leave it to whoever came first, and
// holds connections without asking anything, who else is served: kubelets and API servers would be shut out by anybody. So:
//
// - A new connection is always taken while there is an old one that waits for a request: the one that has waited longest is closed.
// - A connection is never closed while a request of its is being answered; when all are, the newest is.

import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Socket } from "node:net";

interface Connection {
  /** With TLS: the plain one until the handshake is done. */
  socket: Duplex;
  /** That have no answer yet. */
  requests: number;
}

/** Keeps the connections of a server to a number. */
export class ConnectionRoom {
  readonly #max: number;
  /** By the peer's address, which stands for a connection with and without TLS; those that have waited longest first. */
  readonly #connections = new Map<string, Connection>();

  constructor(server: Server, max: number) {
    this.#max = max;
    server.on("connection", (socket: Socket) => this.#add(socket));
    server.on("secureConnection", (socket: Socket) => {
      const connection = this.#connections.get(peerOf(socket));
      if (connection !== undefined) connection.socket = socket;
    });
    server.on("request", (request: IncomingMessage, response: ServerResponse) => {
      const peer = peerOf(request.socket);
      const connection = this.#connections.get(peer);
      if (connection === undefined) return;
      connection.requests++;
      response.once("close", () => this.#answered(peer, connection));
    });
  }

  /** A connection that is not HTTP any more: it counts, and is never closed from here. */
  hold(socket: Socket): void {
    const connection = this.#connections.get(peerOf(socket));
    if (connection !== undefined) connection.requests = Number.POSITIVE_INFINITY;
  }

  #add(socket: Socket): void {
    const peer = peerOf(socket);
    const connection: Connection = { socket, requests: 0 };
    this.#connections.set(peer, connection);
    socket.once("close", () => {
      if (this.#connections.get(peer) === connection) this.#connections.delete(peer);
    });
    if (this.#connections.size <= this.#max) return;
    // The newest one is the last, and goes when no other one can.
    for (const [other, { socket: idle, requests }] of this.#connections) {
      if (requests > 0) continue;
      this.#connections.delete(other);
      idle.destroy();
      return;
    }
  }

  /** It begins to wait anew. */
  #answered(peer: string, connection: Connection): void {
    connection.requests--;
    if (connection.requests > 0 || this.#connections.get(peer) !== connection) return;
    this.#connections.delete(peer);
    this.#connections.set(peer, connection);
  }
}

function peerOf({ remoteAddress = "", remotePort = 0 }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
