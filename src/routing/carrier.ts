// Where a routing key travels.

/** The places in a request where a routing key may be. */
export const carrierKinds = ["baggage", "tracestate", "header", "host", "query", "cookie"] as const;

export type CarrierKind = (typeof carrierKinds)[number];

/** One place where a routing key may be, with every default filled in. */
export interface Carrier {
  readonly kind: CarrierKind;
  /** Of the member, header (in small letters), parameter or cookie; for `host` the pattern, as `{key}--*`. */
  readonly name: string;
  /** The key is written into baggage for the services behind. */
  readonly propagate: boolean;
  /** A key `a.b.c` that nobody has falls back to `a.b`, then to `a`. */
  readonly levels: boolean;
  /** The alias that it belongs to, "" when it was written as it is. */
  readonly alias: string;
  /** Query only: the cookie in which the client is given the key, "" for none. */
  readonly remember: string;
}

/** A carrier as the config means it when it says nothing but kind and name. */
export function carrierOf(kind: CarrierKind, name: string, other: Partial<Carrier> = {}): Carrier {
  const propagate = kind === "host" || kind === "query" || kind === "cookie";
  return { kind, name, propagate, levels: false, alias: "", remember: "", ...other };
}

/** How a carrier is written in explanations. */
export function carrierText({ kind, name, alias }: Carrier): string {
  return alias === "" ? `${kind}: ${name}` : `${kind}: ${name} (${alias})`;
}
