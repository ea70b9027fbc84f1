// One port of this replica that stands for one port of one service of one sandbox: what the table names as its endpoint.
// Everything that connects here goes to whoever is behind the door.

import { createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { parseHost } from "../../routing/endpoint-name.ts";
import type { Ports } from "./ports.ts";
import { reset } from "./relay.ts";

/** Connections that the kernel holds until they are accepted. */
const BACKLOG = 128;

export class Door {
  readonly #ports: Ports;
  readonly #bindTo: string | undefined;
  #port: number;
  #server: Server | undefined;
  #closed = false;
  #turn: Promise<unknown> = Promise.resolve();
  /** Whether sidecars may know the port. */
  #used = false;
  /** Gets connections that are paused: their bytes wait in the kernel. */
  onConnection: (socket: Socket) => void = reset;

  private constructor(ports: Ports, bindTo: string | undefined, port: number, server: Server) {
    this.#ports = ports;
    this.#bindTo = bindTo;
    this.#port = port;
    this.#take(server);
  }

  /** Listens on the next port that nobody has, `preferred` if possible; undefined when there is none. */
  static async open(ports: Ports, host: string, preferred?: number): Promise<Door | undefined> {
    const bindTo = bindAddress(host);
    const got = await listenSomewhere(ports, bindTo, preferred);
    return got === undefined ? undefined : new Door(ports, bindTo, got.port, got.server);
  }

  get port(): number {
    return this.#port;
  }

  /** From now on the port rests after use. */
  used(): void {
    this.#used = true;
  }

  /**
   * Open, or shut while nobody is behind it: a connection that is refused tells sidecars more than one that is accepted and then
   * reset. Resolves with `moved` when another process took the port meanwhile and the door has another one now, and with `lost`
   * when there was none: then it stays shut.
   */
  setOpen(open: boolean): Promise<"same" | "moved" | "lost"> {
    const turn = this.#turn.then(() => this.#setOpen(open));
    this.#turn = turn;
    return turn;
  }

  async #setOpen(open: boolean): Promise<"same" | "moved" | "lost"> {
    if (this.#closed || open === (this.#server !== undefined)) return "same";
    if (!open) {
      this.#shut();
      return "same";
    }
    const server = newServer();
    if (await listens(server, this.#port, this.#bindTo)) {
      this.#take(server);
      return "same";
    }
    const got = await listenSomewhere(this.#ports, this.#bindTo, undefined);
    if (got === undefined) return "lost";
    const before = this.#port;
    this.#port = got.port;
    // Closed meanwhile: that has released the port before.
    this.#ports.release(this.#closed ? got.port : before, this.#used);
    this.#take(got.server);
    return "moved";
  }

  /** For good. What runs goes on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#ports.release(this.#port, this.#used);
    this.#shut();
  }

  #shut(): void {
    this.#server?.close();
    this.#server = undefined;
  }

  #take(server: Server): void {
    if (this.#closed) return void server.close();
    this.#server = server;
    server.on("connection", (socket) => {
      socket.on("error", () => {});
      this.onConnection(socket);
    });
    // Out of file descriptors, for one: the connection waits in the kernel.
    server.on("error", () => {});
  }
}

/** A loopback address stays one. Other hosts may be names that only others know, or addresses of something in front: all of ours. */
function bindAddress(host: string): string | undefined {
  if (host === "localhost") return "localhost";
  const parsed = parseHost(host);
  if ("problem" in parsed) return undefined;
  const isLoopback = parsed.host === "::1" || (parsed.kind === "ipv4" && parsed.host.startsWith("127."));
  return isLoopback ? parsed.host : undefined;
}

async function listenSomewhere(
  ports: Ports,
  bindTo: string | undefined,
  preferred: number | undefined,
): Promise<{ readonly port: number; readonly server: Server } | undefined> {
  const occupied: number[] = [];
  try {
    for (;;) {
      const port = ports.take(occupied.length === 0 ? preferred : undefined);
      if (port === undefined) return undefined;
      const server = newServer();
      if (await listens(server, port, bindTo)) return { port, server };
      occupied.push(port);
    }
  } finally {
    for (const port of occupied) ports.release(port, false);
  }
}

function newServer(): Server {
  return createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true });
}

function listens(server: Server, port: number, host: string | undefined): Promise<boolean> {
  return new Promise((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ port, ...(host === undefined ? {} : { host }), backlog: BACKLOG, exclusive: true }, () => {
      server.removeAllListeners("error");
      resolve(true);
    });
  });
}
