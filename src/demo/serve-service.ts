import type { ListenAddress } from "./services/address.ts";
import { serveHttp } from "./services/serve-http.ts";

/** Starts a service; resolves with its port. Each loads what it speaks, and nothing that only others speak. */
type Serve = (address: ListenAddress) => Promise<number>;
const services: Readonly<Record<string, Serve>> = {
  front: async (address) => serveHttp((await import("./services/front.ts")).front, address),
  checkout: async (address) => serveHttp((await import("./services/checkout.ts")).checkout, address),
  pricing: async (address) => (await import("./services/pricing.ts")).servePricing(address),
  recommend: async (address) => (await import("./services/recommend.ts")).serveRecommend(address),
  till: async (address) => serveHttp((await import("./services/till.ts")).till, address),
};

/** Serves the service of the shop that `SERVICE` names; resolves with the port. Rejects when there is no such service. */
export async function serveService(address: ListenAddress): Promise<number> {
  const service = process.env["SERVICE"] ?? "";
  const serve = services[service];
  if (serve === undefined) throw new Error(`SERVICE must be one of ${Object.keys(services).join(", ")}: '${service}'`);
  // The till is older than OpenTelemetry.
  if (service !== "till") await import("./instrumentation.ts");
  return serve(address);
}
