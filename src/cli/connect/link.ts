// This machine's end of the tunnel: HTTP/2 as the server, in a WebSocket that we have opened (src/control/connect/wire.ts). The
// replica may open connections to the declared apps, by number, and nothing else.

import { performServerHandshake } from "node:http2";
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, SessionOptions } from "node:http2";
import type { Socket } from "node:net";
import type { WebSocket } from "ws";
import { keepAlive } from "../../control/connect/keep-alive.ts";
import type { KeepAliveTimes } from "../../control/connect/keep-alive.ts";
import { relay } from "../../control/connect/relay.ts";
import {
  CONVERSATION_PATH,
  FAILURE_HEADER,
  LineReader,
  SESSION_WINDOW_BYTES,
  STREAM_WINDOW_BYTES,
  line,
  readFromReplica,
} from "../../control/connect/wire.ts";
import type { FromMachine, FromReplica } from "../../control/connect/wire.ts";
import type { Opened } from "./dial.ts";
import type { LocalApp } from "./local-app.ts";

/** Above what the replica allows itself: it never waits for a stream. */
const STREAMS_MAX = 1024;
/** What node:http2 keeps for one session beside stream windows, in megabytes; far above what happens. */
const SESSION_MEMORY_MB = 128;
/** A connection on which the app spoke last, and that is silent for so long, waits for the next request. */
const IDLE_MS = 1000;

export interface LinkEvents {
  readonly onMessage: (message: FromReplica) => void;
  /** Once. */
  readonly onClose: (why: string) => void;
  readonly onConnection: (target: number, what: "opened" | "failed" | "closed") => void;
}

/** A connection of a sidecar, as far as it tells whether something runs on it. */
interface Carried {
  readonly stream: ServerHttp2Stream;
  appSpokeLast: boolean;
  spokeAt: number;
}

export class Link {
  readonly #socket: WebSocket;
  readonly #session: ServerHttp2Session;
  readonly #apps: readonly LocalApp[];
  readonly #events: LinkEvents;
  readonly #carried = new Set<Carried>();
  /** Before the replica has opened the conversation. */
  #unsaid: FromMachine[] = [];
  #conversation: ServerHttp2Stream | undefined;
  #why = "the connection was closed";

  /** Takes a WebSocket that has just opened. */
  constructor({ socket, bytes }: Opened, apps: readonly LocalApp[], times: KeepAliveTimes, events: LinkEvents) {
    this.#socket = socket;
    this.#apps = apps;
    this.#events = events;
    bytes.on("error", (error: Error) => this.#failed(error.message));
    this.#session = performServerHandshake(bytes, sessionOptions);
    this.#session.setLocalWindowSize(SESSION_WINDOW_BYTES);
    this.#session.on("error", (error) => this.#failed(error.message));
    this.#session.on("stream", (one: ServerHttp2Stream, head) => this.#answer(one, head));
    this.#session.once("close", () => socket.terminate());
    socket.once("close", () => {
      this.#session.destroy();
      events.onClose(this.#why);
    });
    keepAlive(socket, times, () => this.close(`nothing was heard for ${Math.round(times.silenceMs / 1000)} s`));
  }

  /** Connections of sidecars that run. */
  get connections(): number {
    return this.#carried.size;
  }

  /** Those on which something seems to go on. */
  get busy(): number {
    const now = performance.now();
    return [...this.#carried].filter(({ appSpokeLast, spokeAt }) => !appSpokeLast || now - spokeAt < IDLE_MS).length;
  }

  send(message: FromMachine): void {
    if (this.#conversation === undefined) this.#unsaid.push(message);
    else if (this.#conversation.writable) this.#conversation.write(line(message));
  }

  /** At once; what runs is reset. */
  close(why: string): void {
    this.#failed(why);
    this.#session.destroy();
    this.#socket.terminate();
  }

  #answer(stream: ServerHttp2Stream, head: IncomingHttpHeaders): void {
    stream.on("error", () => {});
    const { ":method": method, ":path": path, ":authority": authority = "" } = head;
    if (method === "POST" && path === CONVERSATION_PATH && this.#conversation === undefined)
      return this.#converse(stream);
    const app = method === "CONNECT" && /^\d{1,3}$/u.test(authority) ? this.#apps[Number(authority)] : undefined;
    if (app !== undefined) return this.#carry(stream, app, Number(authority));
    stream.respond({ ":status": 404 }, { endStream: true });
    stream.resume();
  }

  #converse(stream: ServerHttp2Stream): void {
    this.#conversation = stream;
    stream.respond({ ":status": 200 });
    for (const message of this.#unsaid) stream.write(line(message));
    this.#unsaid = [];
    const reader = new LineReader((message) => {
      const known = readFromReplica(message);
      if (known !== undefined) this.#events.onMessage(known);
    });
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      if (!reader.push(text)) this.close("the control plane sent what is no conversation");
    });
    stream.once("close", () => this.close("the control plane ended the connection"));
  }

  #carry(stream: ServerHttp2Stream, app: LocalApp, target: number): void {
    const onConnect = (socket: Socket): void => {
      if (stream.destroyed) return void socket.destroy();
      stream.off("close", giveUp);
      const carried = { stream, appSpokeLast: true, spokeAt: performance.now() };
      this.#carried.add(carried);
      this.#events.onConnection(target, "opened");
      app.opened();
      const ended = (): void => {
        if (!stream.readableEnded && !stream.destroyed) app.endedByApp();
      };
      socket.once("end", ended);
      socket.once("error", ended);
      stream.respond({ ":status": 200 });
      // Listeners first that only look: `relay` begins to read.
      stream.on("data", () => spoke(carried, false));
      socket.on("data", () => spoke(carried, true));
      relay(socket, stream, () => {
        this.#carried.delete(carried);
        app.closed();
        this.#events.onConnection(target, "closed");
      });
    };
    const onFailure = (code: string): void => {
      if (stream.destroyed) return;
      stream.off("close", giveUp);
      this.#events.onConnection(target, "failed");
      stream.respond({ ":status": 502, [FAILURE_HEADER]: code }, { endStream: true });
      stream.resume();
    };
    const connecting = app.connect(onConnect, onFailure);
    const giveUp = (): void => void connecting.destroy();
    stream.once("close", giveUp);
  }

  /** The first reason counts, what follows from it does not. */
  #failed(why: string): void {
    if (this.#why === "the connection was closed") this.#why = why;
  }
}

function spoke(carried: Carried, byApp: boolean): void {
  carried.appSpokeLast = byApp;
  carried.spokeAt = performance.now();
}

/** Sidecars that give up connections are no attack; the limits on resets (CVE-2023-44487) would end the session for all. */
const RESETS = 1_000_000;
const sessionOptions: SessionOptions & { streamResetBurst: number; streamResetRate: number } = {
  maxSessionMemory: SESSION_MEMORY_MB,
  streamResetBurst: RESETS,
  streamResetRate: RESETS,
  settings: { initialWindowSize: STREAM_WINDOW_BYTES, maxConcurrentStreams: STREAMS_MAX },
};
