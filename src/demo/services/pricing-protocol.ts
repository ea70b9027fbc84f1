// pricing.proto in types: what pricing implements and checkout calls.

import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type * as Grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import type { Hop } from "./reply.ts";

/** `shop.QuoteRequest` */
export interface QuoteRequest {
  readonly item: string;
}

/** `shop.Price` */
export interface Price {
  readonly item: string;
  readonly cents: number;
  readonly hops: readonly Hop[];
}

/** What a call calls back with. */
type Callback = (...result: [error: Grpc.ServiceError, price: undefined] | [error: null, price: Price]) => void;

interface PricingClient extends Grpc.Client {
  quote(request: QuoteRequest, options: Grpc.CallOptions, callback: Callback): Grpc.ClientUnaryCall;
}

interface PricingClientConstructor {
  new (address: string, credentials: Grpc.ChannelCredentials): PricingClient;
  readonly service: Grpc.ServiceDefinition;
}

/** The gRPC library. Required, not imported, because OpenTelemetry patches what passes `require` (see instrumentation.ts). */
export const grpc = createRequire(import.meta.url)("@grpc/grpc-js") as typeof Grpc;

const definition = loadSync(fileURLToPath(new URL("./pricing.proto", import.meta.url)), { defaults: true });
const { shop } = grpc.loadPackageDefinition(definition) as unknown as {
  readonly shop: { readonly Pricing: PricingClientConstructor };
};

/** The client of `shop.Pricing`, and in `Pricing.service` what a server implements. */
export const { Pricing } = shop;
