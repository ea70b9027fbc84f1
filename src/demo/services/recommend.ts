import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import { replyJson, self } from "./reply.ts";

const thoughts = ["honey", "a second cup", "an hour of silence"];
/** Between two thoughts. */
const THINKING_MS = 20;

/** Thinks slowly: an event stream, one recommendation per event. */
export async function recommend(request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.url !== "/stream") return replyJson(response, 404, { error: `no such page: ${request.url}` });

  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  response.write(`event: hop\ndata: ${JSON.stringify(self)}\n\n`);
  for (const item of thoughts) {
    await sleep(THINKING_MS);
    response.write(`data: ${item}\n\n`);
  }
  response.end();
}
