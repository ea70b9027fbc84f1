import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Order } from "./checkout.ts";
import { openRecommendations } from "./recommendations.ts";
import type { Opening } from "./recommendations.ts";
import { replyJson, replySame, self } from "./reply.ts";
import type { Hop } from "./reply.ts";

/** What `GET /order` answers. */
export interface FrontOrder extends Order {
  readonly recommended: readonly string[];
}

interface Thoughts {
  readonly hops: readonly Hop[];
  readonly recommended: readonly string[];
}

const page = readFileSync(new URL("./front-page.html", import.meta.url));

/** The shop's front: the page, orders, and recommendations as they come. */
export async function front(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://front");
  switch (url.pathname) {
    case "/":
      response.writeHead(200, { "content-type": "text/html; charset=utf-8" });
      response.end(page);
      return;
    case "/order":
      return order(url.search, response);
    case "/recommendations":
      return recommendations(response);
    case "/scenes":
    case "/play":
      return scenes(request, response);
    default:
      replyJson(response, 404, { error: `no such page: ${url.pathname}` });
  }
}

/** Scenes need more than a shop has: the demo itself plays them, where there is one. */
async function scenes({ url, method = "GET" }: IncomingMessage, response: ServerResponse): Promise<void> {
  const address = process.env["SCENES_URL"];
  if (address === undefined) return replyJson(response, 404, { error: "no scenes here" });
  return replySame(response, await fetch(`${address}${url}`, { method }));
}

async function order(search: string, response: ServerResponse): Promise<void> {
  const [answer, thoughts] = await Promise.all([
    fetch(`${process.env["CHECKOUT_URL"]}/order${search}`),
    openRecommendations().then(readAll),
  ]);
  if (!answer.ok) return replySame(response, answer);
  if ("refusal" in thoughts) return replySame(response, thoughts.refusal);

  const checkedOut = (await answer.json()) as Order;
  const { hops, recommended } = thoughts;
  replyJson(response, 200, {
    ...checkedOut,
    recommended,
    hops: [self, ...checkedOut.hops, ...hops],
  } satisfies FrontOrder);
}

async function readAll(opening: Opening): Promise<Thoughts | { refusal: Response }> {
  if ("refusal" in opening) return opening;
  const hops: Hop[] = [];
  const recommended: string[] = [];
  for await (const thought of opening.thoughts) {
    if ("hop" in thought) hops.push(thought.hop);
    else recommended.push(thought.item);
  }
  return { hops, recommended };
}

/** What comes over the WebSocket, as an event stream for the page. */
async function recommendations(response: ServerResponse): Promise<void> {
  const opening = await openRecommendations();
  if ("refusal" in opening) return replySame(response, opening.refusal);

  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  for await (const thought of opening.thoughts) {
    if (response.closed) return;
    response.write(
      "hop" in thought ? `event: hop\ndata: ${JSON.stringify(thought.hop)}\n\n` : `data: ${thought.item}\n\n`,
    );
  }
  response.end();
}
