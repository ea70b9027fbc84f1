// Whether the other end of a WebSocket still lives: pings both ways (RFC 6455 §5.5.2), and whatever is heard counts. A machine
// that was closed and put into a bag says nothing, and its kernel neither.

import type { WebSocket } from "ws";

export interface KeepAliveTimes {
  /** Between two pings. */
  readonly pingMs: number;
  /** Of silence, after which the other end is taken for gone. */
  readonly silenceMs: number;
}

/** Gone peers are noticed within 30 s. */
export const defaultKeepAlive: KeepAliveTimes = { pingMs: 15_000, silenceMs: 28_000 };

/** Pings until the socket is closed; `onSilence` is called once. */
export function keepAlive(socket: WebSocket, { pingMs, silenceMs }: KeepAliveTimes, onSilence: () => void): void {
  let heardAt = performance.now();
  let pingAt = heardAt + pingMs;
  const heard = (): void => void (heardAt = performance.now());
  // Everything that is sent waits behind what was sent before, so a pong may be long in coming while a slow line is busy: but
  // then the other end's window updates are heard.
  socket.on("message", heard);
  socket.on("ping", heard);
  socket.on("pong", heard);
  const timer = setInterval(
    () => {
      const now = performance.now();
      if (now - heardAt > silenceMs) {
        clearInterval(timer);
        return onSilence();
      }
      if (now < pingAt || socket.readyState !== socket.OPEN) return;
      pingAt = now + pingMs;
      socket.ping();
    },
    Math.min(1000, pingMs / 2),
  );
  socket.once("close", () => clearInterval(timer));
}
