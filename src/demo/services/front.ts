import { readFileSync } from "node:fs";
import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { text } from "node:stream/consumers";
import type { Order } from "./checkout.ts";
import { replyJson, replySame, self } from "./reply.ts";
import type { Hop } from "./reply.ts";

/** What `GET /order` answers. */
export interface FrontOrder extends Order {
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
    case "/recommendations": {
      const stream = await recommendations();
      response.writeHead(stream.statusCode ?? 502, { "content-type": stream.headers["content-type"] });
      stream.pipe(response);
      return;
    }
    default:
      replyJson(response, 404, { error: `no such page: ${url.pathname}` });
  }
}

async function order(search: string, response: ServerResponse): Promise<void> {
  const [answer, stream] = await Promise.all([
    fetch(`${process.env["CHECKOUT_URL"]}/order${search}`),
    recommendations().then(async (incoming) => ({ status: incoming.statusCode ?? 0, body: await text(incoming) })),
  ]);
  if (!answer.ok) return replySame(response, answer);
  if (stream.status !== 200) return replySame(response, new Response(stream.body, { status: stream.status }));

  const checkedOut = (await answer.json()) as Order;
  const { hops, recommended } = readEvents(stream.body);
  replyJson(response, 200, {
    ...checkedOut,
    recommended,
    hops: [self, ...checkedOut.hops, ...hops],
  } satisfies FrontOrder);
}

/** Called by its name: HTTP_PROXY names the outbound listener, which looks the name up in the table. */
function recommendations(): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    http.get("http://recommend/stream", resolve).once("error", reject);
  });
}

function readEvents(stream: string): { hops: Hop[]; recommended: string[] } {
  const hops: Hop[] = [];
  const recommended: string[] = [];
  for (const event of stream.split("\n\n")) {
    const data = /^data: (.*)$/m.exec(event)?.[1];
    if (data === undefined) continue;
    if (event.startsWith("event: hop\n")) hops.push(JSON.parse(data) as Hop);
    else recommended.push(data);
  }
  return { hops, recommended };
}
