// A backend and a client on raw sockets, for measurements that need every request to be exactly alike.

import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { backendResponse, loadHeads, type Destination } from "./requests.ts";

/** A backend of which each answer is one write. */
export interface RawBackend {
  readonly port: number;
  readonly requests: number;
  close(): Promise<void>;
}

export async function startRawBackend(destination: Destination): Promise<RawBackend> {
  const response = Buffer.from(backendResponse(destination), "latin1");
  const sockets = new Set<Socket>();
  let requests = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    sockets.add(socket);
    let received = "";
    socket.on("data", (chunk) => {
      received += chunk.toString("latin1");
      for (let end = received.indexOf("\r\n\r\n"); end !== -1; end = received.indexOf("\r\n\r\n")) {
        received = received.slice(end + 4);
        requests++;
        socket.write(response);
      }
    });
    socket.on("error", () => socket.destroy());
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("a TCP server has an address of its own");
  return {
    port: address.port,
    get requests() {
      return requests;
    },
    async close() {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** A kept-alive connection that sends the two heads of the load in turns, each when the answer to the last is complete. */
export class RawClient {
  readonly #socket: Socket;
  readonly #answerBytes: number;
  readonly #heads = [Buffer.from(loadHeads.baseline, "latin1"), Buffer.from(loadHeads.sandbox, "latin1")] as const;

  private constructor(socket: Socket, answerBytes: number) {
    this.#socket = socket;
    this.#answerBytes = answerBytes;
  }

  /** @param answerBytes of one answer; it is the same for both heads. */
  static async connect(port: number, answerBytes: number): Promise<RawClient> {
    const socket = connect({ port, host: "127.0.0.1", noDelay: true });
    await once(socket, "connect");
    return new RawClient(socket, answerBytes);
  }

  /** Sends so many requests one after the other. @throws Error when the connection ends before all are answered. */
  async send(count: number): Promise<void> {
    const socket = this.#socket;
    return new Promise((resolve, reject) => {
      let answered = 0;
      let bytes = 0;
      const finish = (error?: Error): void => {
        socket.off("data", onData).off("close", onClose);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onClose = (): void => finish(new Error(`the proxy closed the connection after ${answered} answers`));
      const onData = (chunk: Buffer): void => {
        bytes += chunk.length;
        if (bytes < this.#answerBytes) return;
        if (bytes > this.#answerBytes) return finish(new Error(`${bytes} bytes for an answer of ${this.#answerBytes}`));
        bytes = 0;
        answered++;
        if (answered === count) finish();
        else socket.write(this.#heads[(answered & 1) as 0 | 1]);
      };
      socket.on("data", onData).on("close", onClose);
      socket.write(this.#heads[0]);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}
