import type { IncomingMessage, ServerResponse } from "node:http";
import type { Price } from "./pricing.ts";
import { replyJson, replySame, self } from "./reply.ts";
import type { Hop } from "./reply.ts";

/** What `GET /order` answers. */
export interface Order {
  readonly item: string;
  readonly cents: number;
  readonly giftWrap: boolean;
  readonly hops: readonly Hop[];
}

/** Takes an order; asks pricing what it costs. Sandbox pr-7 tries out gift wrap. */
export async function checkout(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://checkout");
  if (url.pathname !== "/order") return replyJson(response, 404, { error: `no such page: ${url.pathname}` });

  const answer = await fetch(`${process.env["PRICING_URL"]}/price${url.search}`);
  if (!answer.ok) return replySame(response, answer);

  const price = (await answer.json()) as Price;
  const giftWrap = process.env["GIFT_WRAP"] === "yes";
  replyJson(response, 200, { ...price, giftWrap, hops: [self, ...price.hops] } satisfies Order);
}
