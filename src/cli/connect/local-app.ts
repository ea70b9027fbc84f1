// Whether the app on this machine takes connections. The connections that are carried to it tell; it is tried out when there are
// none: at the start, while it does not take any, now and then, and soon after it has ended the last one, as it does when it dies.

import { connect } from "node:net";
import type { Socket } from "node:net";
import type { LocalTarget } from "./local-target.ts";

/** An app that does not answer the handshake by then does not listen. */
const CONNECT_MS = 5000;
/** Between two tries while it does not take connections. */
const AGAIN_MS = 500;
/** The same while it does, and nothing runs. */
const IDLE_MS = 5000;
/** From the end of its last connection to a try: the next connection may tell as well. */
const QUIET_MS = 200;

export class LocalApp {
  readonly target: LocalTarget;
  readonly #onChange: () => void;
  /** "" when it takes connections; undefined before it was tried. */
  #problem: string | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ended = false;
  #connections = 0;
  #connectedAt = 0;

  /** `onChange` whenever it takes connections and did not before, or the other way round. */
  constructor(target: LocalTarget, onChange: () => void) {
    this.target = target;
    this.#onChange = onChange;
  }

  /** Why it does not take connections; "" when it does, as far as is known. */
  get problem(): string {
    return this.#problem ?? "";
  }

  /** Resolves when it is known whether the app takes connections. */
  start(): Promise<void> {
    return this.#try();
  }

  stop(): void {
    this.#ended = true;
    clearTimeout(this.#timer);
  }

  /** Connects; `onFailure` gets the error's code. The socket has `allowHalfOpen`. */
  connect(onConnect: (socket: Socket) => void, onFailure: (code: string) => void): Socket {
    const { host, port } = this.target;
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true });
    const timer = setTimeout(
      () => socket.destroy(Object.assign(new Error("timeout"), { code: "ETIMEDOUT" })),
      CONNECT_MS,
    );
    const failed = (error: NodeJS.ErrnoException): void => {
      clearTimeout(timer);
      const code = codeOf(error);
      this.#set(code);
      onFailure(code);
    };
    socket.once("error", failed);
    socket.once("close", () => clearTimeout(timer));
    socket.once("connect", () => {
      clearTimeout(timer);
      socket.off("error", failed);
      this.#connectedAt = performance.now();
      this.#set("");
      onConnect(socket);
    });
    return socket;
  }

  /** A connection that is carried has begun. */
  opened(): void {
    this.#connections++;
  }

  closed(): void {
    this.#connections--;
    if (this.#connections === 0 && this.#problem === "") this.#tryIdle();
  }

  /** The app has ended a connection that is carried, or its side of it. */
  endedByApp(): void {
    if (this.#problem !== "") return;
    const at = performance.now();
    this.#later(QUIET_MS, () => {
      if (this.#connectedAt < at) void this.#try();
      else this.#tryIdle();
    });
  }

  #tryIdle(): void {
    this.#later(IDLE_MS, () => {
      if (this.#connections === 0) void this.#try();
    });
  }

  #try(): Promise<void> {
    return new Promise((resolve) => {
      const socket = this.connect(
        () => {
          socket.destroy();
          resolve();
        },
        () => resolve(),
      );
    });
  }

  #set(problem: string): void {
    if (this.#ended) return;
    const isChange = (this.#problem ?? "") !== problem;
    this.#problem = problem;
    if (problem === "") this.#tryIdle();
    else this.#later(AGAIN_MS, () => void this.#try());
    if (isChange) this.#onChange();
  }

  #later(afterMs: number, action: () => void): void {
    clearTimeout(this.#timer);
    if (!this.#ended) this.#timer = setTimeout(action, afterMs);
  }
}

/** Of a connection to a name with several addresses, the first one's. */
function codeOf(error: NodeJS.ErrnoException): string {
  const { errors = [] } = error as { readonly errors?: readonly NodeJS.ErrnoException[] };
  return error.code ?? errors[0]?.code ?? "EUNKNOWN";
}

const sentences: Readonly<Record<string, string>> = {
  ECONNREFUSED: "nothing listens there",
  ETIMEDOUT: "no answer",
  ENOTFOUND: "the name does not resolve",
  EAI_AGAIN: "the name does not resolve at the moment",
  EHOSTUNREACH: "host unreachable",
  ENETUNREACH: "network unreachable",
};

/** What an error's code means, for people. */
export function problemText(code: string): string {
  return sentences[code] ?? code;
}
