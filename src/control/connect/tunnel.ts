// The replica's end of one WebSocket to a developer's machine: HTTP/2 in it, as the client (wire.ts). Everything that comes from
// there is a stranger's: it can end the tunnel, and nothing else.

import { connect } from "node:http2";
import type { ClientHttp2Session, ClientHttp2Stream } from "node:http2";
import type { Socket } from "node:net";
import { createWebSocketStream } from "ws";
import type { WebSocket } from "ws";
import { keepAlive } from "./keep-alive.ts";
import type { KeepAliveTimes } from "./keep-alive.ts";
import { relay, reset } from "./relay.ts";
import {
  CONVERSATION_PATH,
  LineReader,
  SESSION_WINDOW_BYTES,
  STREAM_WINDOW_BYTES,
  line,
  readFromMachine,
} from "./wire.ts";
import type { FromMachine, FromReplica } from "./wire.ts";

/** What node:http2 keeps for one session beside stream windows, in megabytes; far above what happens. */
const SESSION_MEMORY_MB = 128;
/** A last message gets this long to arrive. */
const CLOSE_MS = 1000;

export interface TunnelEvents {
  readonly onMessage: (message: FromMachine) => void;
  /** Once; `why` for the log. */
  readonly onClose: (why: string) => void;
}

export class Tunnel {
  readonly #socket: WebSocket;
  readonly #session: ClientHttp2Session;
  readonly #conversation: ClientHttp2Stream;
  #why = "the connection was closed";
  #connections = 0;

  /** Takes a WebSocket that is open; sends nothing by itself but pings. */
  constructor(socket: WebSocket, times: KeepAliveTimes, { onMessage, onClose }: TunnelEvents) {
    this.#socket = socket;
    const stream = createWebSocketStream(socket);
    stream.on("error", (error: Error) => this.#failed(error.message));
    this.#session = connect("http://machine", {
      createConnection: () => stream,
      maxSessionMemory: SESSION_MEMORY_MB,
      settings: { enablePush: false, initialWindowSize: STREAM_WINDOW_BYTES },
    });
    this.#session.on("error", (error) => this.#failed(error.message));
    this.#session.once("connect", () => this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES));
    // GOAWAY: whatever the reason, the machine takes nothing any more.
    this.#session.on("goaway", () => this.destroy("the machine ended it"));
    this.#session.once("close", () => socket.terminate());
    socket.once("close", () => {
      this.#session.destroy();
      onClose(this.#why);
    });
    keepAlive(socket, times, () => this.destroy(`nothing was heard for ${Math.round(times.silenceMs / 1000)} s`));

    this.#conversation = this.#session.request({ ":method": "POST", ":path": CONVERSATION_PATH });
    this.#conversation.on("error", (error) => this.#failed(error.message));
    const reader = new LineReader((message) => {
      const known = readFromMachine(message);
      if (known !== undefined) onMessage(known);
    });
    this.#conversation.setEncoding("utf8");
    this.#conversation.on("data", (text: string) => {
      if (!reader.push(text)) this.destroy("the machine sent what is no conversation");
    });
    this.#conversation.once("close", () => this.destroy("the conversation ended"));
  }

  /** Connections that run through it. */
  get connections(): number {
    return this.#connections;
  }

  send(message: FromReplica): void {
    if (this.#conversation.writable) this.#conversation.write(line(message));
  }

  /** Leads a connection of a sidecar to a target of the machine; `done` when both sides are closed. */
  carry(tcp: Socket, target: number, done: () => void): void {
    if (this.#session.destroyed || this.#session.closed) {
      reset(tcp);
      return done();
    }
    const stream = this.#session.request({ ":method": "CONNECT", ":authority": String(target) });
    this.#connections++;
    // Refused by the app, most likely. What the sidecar has sent meanwhile is lost, as the connection is.
    stream.once("response", (head) => {
      if (head[":status"] !== 200) stream.destroy(new Error("the app could not be reached"));
    });
    relay(tcp, stream, () => {
      this.#connections--;
      done();
    });
  }

  /** Says a last word and ends soon after. Running connections are reset. */
  end(message: FromReplica, why: string): void {
    this.#why = why;
    this.send(message);
    const timer = setTimeout(() => this.destroy(why), CLOSE_MS);
    this.#socket.once("close", () => clearTimeout(timer));
  }

  /** At once; running connections are reset. */
  destroy(why: string): void {
    this.#failed(why);
    this.#session.destroy();
    this.#socket.terminate();
  }

  /** The first reason counts, what follows from it does not. */
  #failed(why: string): void {
    if (this.#why === "the connection was closed") this.#why = why;
  }
}
