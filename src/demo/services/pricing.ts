import type { IncomingMessage, ServerResponse } from "node:http";
import { replyJson, self } from "./reply.ts";
import type { Hop } from "./reply.ts";

/** What `GET /price` answers. */
export interface Price {
  readonly item: string;
  readonly cents: number;
  readonly hops: readonly Hop[];
}

const listCents: Readonly<Record<string, number>> = { tea: 420, cup: 1250 };

/** Knows what things cost. Sandbox pr-9 tries out a discount. */
export function pricing(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? "/", "http://pricing");
  const item = url.searchParams.get("item") ?? "tea";
  const listed = listCents[item];
  if (url.pathname !== "/price" || listed === undefined)
    return replyJson(response, 404, { error: `no price: ${url.pathname}${url.search}` });

  const discountPercent = Number(process.env["DISCOUNT_PERCENT"] ?? 0);
  const cents = Math.round((listed * (100 - discountPercent)) / 100);
  replyJson(response, 200, { item, cents, hops: [self] } satisfies Price);
}
