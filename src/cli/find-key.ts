import type { Carrier } from "../config/proxy-config.ts";
import { findBaggageMember } from "../protocol/context/baggage.ts";
import { Found } from "../protocol/context/found.ts";
import { findTracestateMember } from "../protocol/context/tracestate.ts";

/** A routing key and the carrier that yielded it, as `baggage: sidelane`. */
export interface FoundKey {
  readonly key: string;
  readonly carrier: string;
}

/** How a carrier is written in a config and in explanations. */
export function carrierName(carrier: Carrier): string {
  return `${carrier.kind}: ${carrier.name}`;
}

/**
 * The key of the first carrier that yields one, as the proxy's router finds it in a request head: several `baggage` fields
 * are one list in which the last member wins, in `tracestate` the first does, a header of its own counts whole.
 */
export function findKey(
  carriers: readonly Carrier[],
  headers: readonly (readonly [name: string, value: string])[],
): FoundKey | undefined {
  for (const carrier of carriers) {
    const field = carrier.kind === "header" ? carrier.name : carrier.kind;
    const values = headers.filter(([name]) => name.toLowerCase() === field.toLowerCase()).map(([, value]) => value);
    const key = readCarrier(carrier, values);
    if (key !== undefined) return { key, carrier: carrierName(carrier) };
  }
  return undefined;
}

function readCarrier(carrier: Carrier, values: readonly string[]): string | undefined {
  if (carrier.kind === "header") return values.map((value) => value.trim()).find((value) => value !== "");
  const find = carrier.kind === "baggage" ? findBaggageMember : findTracestateMember;
  const name = Buffer.from(carrier.name);
  const found = new Found();
  let any = false;
  for (const value of values) {
    const bytes = Buffer.from(value);
    if (!find(bytes, 0, bytes.length, name, found)) continue;
    any = true;
    if (carrier.kind === "tracestate") break;
  }
  return any ? Buffer.from(found.bytes.subarray(found.start, found.end)).toString("utf8") : undefined;
}
