// A wire tap before a server: passes bytes on and counts them. Which server answered is shown by what went through, not by
// what the sidecars say of themselves.
import { once } from "node:events";
import { type AddressInfo, type Socket, connect, createServer } from "node:net";

/** A running tap. */
export class Tap {
  /** Connections so far, and bytes from and to the server. */
  connections = 0;
  bytesFromServer = 0;
  bytesToServer = 0;
  port = 0;
  readonly #open = new Set<Socket>();
  readonly #server = createServer({ allowHalfOpen: true }, (client) => this.#accept(client));
  readonly #target: number;

  constructor(target: number) {
    this.#target = target;
  }

  /** `host:port`, as tables and configs want it. */
  get name(): string {
    return `127.0.0.1:${this.port}`;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    this.port = (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #accept(client: Socket): void {
    this.connections++;
    const server = connect({ port: this.#target, host: "127.0.0.1", allowHalfOpen: true });
    client.on("data", (bytes) => {
      this.bytesToServer += bytes.length;
    });
    server.on("data", (bytes) => {
      this.bytesFromServer += bytes.length;
    });
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#open.add(from);
      from.on("error", () => to.destroy());
      from.on("close", () => {
        this.#open.delete(from);
        to.destroy();
      });
      from.pipe(to);
    }
  }
}
