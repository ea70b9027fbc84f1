import { on } from "node:events";
import http from "node:http";
import { text } from "node:stream/consumers";
import { WebSocket } from "ws";
import type { RawData } from "ws";
import type { Thought } from "./recommend.ts";

/** The code of a WebSocket that ended because all was said (RFC 6455 §7.4.1). */
const NORMAL_CLOSURE = 1000;
const HANDSHAKE_MS = 8_000;

/** What became of the handshake: thoughts as they come, or the HTTP answer that refused it. */
export type Opening = { readonly thoughts: AsyncIterable<Thought> } | { readonly refusal: Response };

/**
 * Opens recommend's WebSocket; rejects when it got no answer, and so do the thoughts when they break off.
 *
 * A browser cannot set baggage on a handshake, so the page does not do this itself: it asks the front by fetch, and here the
 * handshake is one more outgoing request, to which OpenTelemetry adds the baggage. Called by its name: HTTP_PROXY names the
 * outbound listener, which looks the name up in the table.
 */
export function openRecommendations(): Promise<Opening> {
  const { promise, resolve, reject } = Promise.withResolvers<Opening>();
  const socket = new WebSocket("ws://recommend/stream", { agent: http.globalAgent, handshakeTimeout: HANDSHAKE_MS });
  const thoughts = thoughtsOf(socket);
  socket.once("open", () => resolve({ thoughts }));
  socket.once("error", reject);
  socket.once("unexpected-response", (_, answer) => {
    const headers = { "content-type": answer.headers["content-type"] ?? "text/plain" };
    text(answer)
      .then((body) => resolve({ refusal: new Response(body, { status: answer.statusCode ?? 502, headers }) }))
      .catch(reject);
  });
  return promise;
}

function thoughtsOf(socket: WebSocket): AsyncIterable<Thought> {
  // Listens from here on: the first message may come before anybody waits for it.
  const messages = on(socket, "message", { close: ["close"] }) as AsyncIterable<[RawData]>;
  let closeCode = 0;
  socket.once("close", (code) => {
    closeCode = code;
  });
  return (async function* () {
    try {
      for await (const [message] of messages) yield JSON.parse(String(message)) as Thought;
      if (closeCode !== NORMAL_CLOSURE) throw new Error(`recommend broke off with code ${closeCode}`);
    } finally {
      socket.close();
    }
  })();
}
