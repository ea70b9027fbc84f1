import type { IncomingMessage, ServerResponse } from "node:http";
import type { ServiceError } from "@grpc/grpc-js";
import { grpc, Pricing } from "./pricing-protocol.ts";
import type { Price } from "./pricing-protocol.ts";
import { replyJson, self } from "./reply.ts";
import type { Hop } from "./reply.ts";

/** Pricing knows at once, or not at all. */
const QUOTE_MS = 8_000;

/** What a failed call is to the caller of checkout; anything else is a 502. */
const httpStatuses: Readonly<Record<number, number>> = {
  [grpc.status.NOT_FOUND]: 404,
  [grpc.status.FAILED_PRECONDITION]: 424,
  [grpc.status.UNAVAILABLE]: 503,
  [grpc.status.DEADLINE_EXCEEDED]: 504,
};

/** What `GET /order` answers. */
export interface Order {
  readonly item: string;
  readonly cents: number;
  readonly giftWrap: boolean;
  readonly hops: readonly Hop[];
}

/** One channel for all calls, whomever they are for; made when the address is known. */
let pricing: InstanceType<typeof Pricing> | undefined;

/** Takes an order; asks pricing what it costs. Sandbox pr-7 tries out gift wrap. */
export async function checkout(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = new URL(request.url ?? "/", "http://checkout");
  if (url.pathname !== "/order") return replyJson(response, 404, { error: `no such page: ${url.pathname}` });

  const quoted = await quote(url.searchParams.get("item") ?? "tea");
  if ("code" in quoted) {
    const status = httpStatuses[quoted.code] ?? 502;
    return replyJson(response, status, { error: grpc.status[quoted.code], detail: quoted.details });
  }
  const giftWrap = process.env["GIFT_WRAP"] === "yes";
  replyJson(response, 200, { ...quoted, giftWrap, hops: [self, ...quoted.hops] } satisfies Order);
}

function quote(item: string): Promise<Price | ServiceError> {
  pricing ??= new Pricing(process.env["PRICING_ADDRESS"] ?? "", grpc.credentials.createInsecure());
  const { promise, resolve } = Promise.withResolvers<Price | ServiceError>();
  pricing.quote({ item }, { deadline: Date.now() + QUOTE_MS }, (error, price) => resolve(error ?? price));
  return promise;
}
