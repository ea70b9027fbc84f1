// Probes go the way of any request, with a property on their key that says what they are: `sidelane=pr-7;probe`. It goes on
// with the key, so that what an app asks of others on account of a probe is known as well. What is marked does not count as use
// of a sandbox, which would otherwise never expire while somebody looks whether it is ready. Other carriers than baggage have no
// room for it.
import { findProperty } from "../../protocol/context/baggage-property.ts";
import { Found } from "../../protocol/context/found.ts";

/** The property, as it is written behind a key. */
export const PROBE_PROPERTY = "probe";

const PROBE = new TextEncoder().encode(PROBE_PROPERTY);
const value = new Found();

/** Whether a request with this key is a probe, or was made because of one. */
export function isProbe({ propertiesBytes, propertiesStart, propertiesEnd }: Found): boolean {
  return propertiesEnd > propertiesStart && findProperty(propertiesBytes, propertiesStart, propertiesEnd, PROBE, value);
}
