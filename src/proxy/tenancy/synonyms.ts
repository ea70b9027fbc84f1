// Other headers that propagators turn into members of W3C Baggage: a service that uses one of them sends a key on that came in
// such a header, and the next sidecar believes it. Where keys are taken out, they go from there, too.
import { type Carrier, carrierOf } from "../../routing/carrier.ts";

/** Jaeger's and OpenTracing's: one header for each member, the name behind this. */
const PREFIXES = ["uberctx-", "ot-baggage-"] as const;
/** Jaeger's list of members. */
export const JAEGER_BAGGAGE = "jaeger-baggage";

/** The carriers, and the headers in which a propagator would find their members of baggage. */
export function withSynonyms(carriers: readonly Carrier[]): readonly Carrier[] {
  const names = carriers.filter(({ kind }) => kind === "baggage").map(({ name }) => name.toLowerCase());
  return [...carriers, ...names.flatMap((name) => PREFIXES.map((prefix) => carrierOf("header", prefix + name)))];
}
