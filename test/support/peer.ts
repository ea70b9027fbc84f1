// One end of a TCP connection in the hands of a test: sends exactly the bytes it is told to, keeps what it gets, and says
// how the connection ended. Knows nothing of HTTP beyond what `message` needs to cut a stream of messages apart.
import { type Socket, connect } from "node:net";
import { type Message, type MessageKind, takeMessage } from "./message.ts";

/** How a connection ended: an orderly FIN, or a reset. */
export type Ending = "fin" | "reset";

/** A connection of a test; text is latin1, so that a character is a byte. */
export class Peer {
  readonly socket: Socket;
  #chunks: Buffer[] = [];
  #text = "";
  #textual = true;
  #ending: Ending | undefined;
  #wake: (() => void)[] = [];
  /** Bytes received so far. */
  bytesReceived = 0;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (chunk: Buffer) => {
      this.bytesReceived += chunk.length;
      if (this.#textual) this.#chunks.push(chunk);
      this.#awake();
    });
    socket.on("end", () => this.#end("fin"));
    socket.on("error", () => this.#end("reset"));
    socket.on("close", () => this.#end("reset"));
  }

  /** Connects to a port of this machine. Our side stays open when the other one ends. */
  static async connect(port: number): Promise<Peer> {
    const socket = connect({ host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true });
    const peer = new Peer(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve);
      socket.once("error", reject);
    });
    return peer;
  }

  #end(ending: Ending): void {
    // A reset after the other side's FIN, or the close that follows everything, changes nothing.
    this.#ending ??= ending;
    this.#awake();
  }

  #awake(): void {
    const waiting = this.#wake;
    this.#wake = [];
    for (const wake of waiting) wake();
  }

  /** Something has happened: bytes, or the end. */
  #event(): Promise<void> {
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  /** Everything received that no `message` has taken yet. */
  get text(): string {
    if (this.#chunks.length > 0) {
      this.#text += Buffer.concat(this.#chunks).toString("latin1");
      this.#chunks = [];
    }
    return this.#text;
  }

  /** Undefined while the other side has not ended. */
  get ending(): Ending | undefined {
    return this.#ending;
  }

  /** Hands received bytes to nobody from here on: for bodies too large to keep. */
  forget(): void {
    this.#textual = false;
  }

  send(bytes: string | Uint8Array): void {
    this.socket.write(typeof bytes === "string" ? Buffer.from(bytes, "latin1") : bytes);
  }

  /** Sends each part in a segment of its own: the next one only after the kernel took the last and the loop has turned. */
  async sendParts(parts: readonly (string | Uint8Array)[]): Promise<void> {
    for (const part of parts) {
      this.send(part);
      await new Promise<void>((resolve) => {
        setImmediate(() => setImmediate(resolve));
      });
    }
  }

  /** Ends our sending side. */
  finish(): void {
    this.socket.end();
  }

  /** Ends the connection with a reset. */
  abort(): void {
    this.socket.resetAndDestroy();
  }

  /** Resolves once what was received satisfies the condition; rejects when the connection ends before. */
  async until(wanted: string | ((text: string) => boolean)): Promise<string> {
    const satisfied = typeof wanted === "string" ? (text: string) => text.includes(wanted) : wanted;
    while (!satisfied(this.text)) {
      if (this.#ending !== undefined) throw new Error(`ended (${this.#ending}) after: ${JSON.stringify(this.text)}`);
      await this.#event();
    }
    return this.text;
  }

  /** Resolves once so many bytes have been received. */
  async untilBytes(count: number): Promise<void> {
    while (this.bytesReceived < count) {
      if (this.#ending !== undefined) throw new Error(`ended (${this.#ending}) after ${this.bytesReceived} bytes`);
      await this.#event();
    }
  }

  /** Takes the next complete message off what is received; `kind` says what cannot be told from its bytes. */
  async message(kind: MessageKind = "message"): Promise<Message> {
    for (;;) {
      const taken = takeMessage(this.text, kind, this.#ending === "fin");
      if (taken !== undefined) {
        this.#text = this.#text.slice(taken.raw.length);
        return taken;
      }
      if (this.#ending !== undefined) throw new Error(`ended (${this.#ending}) within: ${JSON.stringify(this.text)}`);
      await this.#event();
    }
  }

  /** Resolves when the other side has ended, to how. */
  async ended(): Promise<Ending> {
    while (this.#ending === undefined) await this.#event();
    return this.#ending;
  }
}
