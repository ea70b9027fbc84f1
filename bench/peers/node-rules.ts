// What both Node peers do alike: the routing rule and the fields that are not forwarded.

import { routingMember } from "../load/requests.ts";

const member = `${routingMember.name}=${routingMember.value}`;

/** RFC 9110 §7.6.1; `keep-alive` and `proxy-connection` for old peers. `expect` is answered by node:http. */
export const hopByHop: ReadonlySet<string> = new Set([
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "expect",
]);

/** The exact member among the comma separated ones; white space and properties after `;` do not count. */
export function isForSandbox(baggage: string | undefined): boolean {
  if (baggage === undefined) return false;
  for (let at = baggage.indexOf(member); at !== -1; at = baggage.indexOf(member, at + 1)) {
    let before = at - 1;
    while (before >= 0 && isBlank(baggage.charCodeAt(before))) before--;
    let after = at + member.length;
    while (after < baggage.length && isBlank(baggage.charCodeAt(after))) after++;
    const starts = before < 0 || baggage[before] === ",";
    const ends = after === baggage.length || baggage[after] === "," || baggage[after] === ";";
    if (starts && ends) return true;
  }
  return false;
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
