import { promisify } from "node:util";
import type { sendUnaryData, ServerUnaryCall } from "@grpc/grpc-js";
import type { ListenAddress } from "./address.ts";
import { grpc, Pricing } from "./pricing-protocol.ts";
import type { Price, QuoteRequest } from "./pricing-protocol.ts";
import { self } from "./reply.ts";

const listCents: Readonly<Record<string, number>> = { tea: 420, cup: 1250 };

/** Serves `shop.Pricing` over gRPC; resolves with the port. */
export function servePricing({ host, port }: ListenAddress): Promise<number> {
  const server = new grpc.Server();
  server.addService(Pricing.service, { quote });
  const bind = promisify(server.bindAsync.bind(server));
  return bind(`${host}:${port}`, grpc.ServerCredentials.createInsecure());
}

/** Knows what things cost. Sandbox pr-9 tries out a discount. */
function quote({ request: { item } }: ServerUnaryCall<QuoteRequest, Price>, answer: sendUnaryData<Price>): void {
  const listed = listCents[item];
  if (listed === undefined) {
    answer({ code: grpc.status.NOT_FOUND, details: `no price: ${item}` });
    return;
  }
  const discountPercent = Number(process.env["DISCOUNT_PERCENT"] ?? 0);
  const cents = Math.round((listed * (100 - discountPercent)) / 100);
  answer(null, { item, cents, hops: [self] });
}
