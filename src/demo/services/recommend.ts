import http from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { WebSocketServer } from "ws";
import type { WebSocket } from "ws";
import type { ListenAddress } from "./address.ts";
import { listen } from "./serve-http.ts";
import { self } from "./reply.ts";
import type { Hop } from "./reply.ts";

/** What every message of `ws://recommend/stream` is, as JSON. */
export type Thought = { readonly hop: Hop } | { readonly item: string };

/** Between two thoughts. */
const THINKING_MS = 20;

/** Serves the WebSocket `/stream`; resolves with the port. */
export async function serveRecommend(address: ListenAddress): Promise<number> {
  const server = http.createServer((request, response) => {
    response.writeHead(426, { upgrade: "websocket" }).end(`${request.url} is a WebSocket\n`);
  });
  new WebSocketServer({ server, path: "/stream" }).on("connection", (socket) => void recommend(socket));
  return listen(server, address);
}

/** Thinks slowly, and says each thought as it comes. Sandbox pr-11 tries out lemon. */
async function recommend(socket: WebSocket): Promise<void> {
  const say = (thought: Thought): void => socket.send(JSON.stringify(thought));
  socket.on("error", () => socket.terminate());
  say({ hop: self });
  for (const item of [process.env["FIRST_THOUGHT"] ?? "honey", "a second cup", "an hour of silence"]) {
    await sleep(THINKING_MS);
    say({ item });
  }
  socket.close(1000);
}
