// Upgrade (RFC 9110 §7.8): which requests to switch protocols are passed on, and which switch an endpoint may make.
//
// Guarantees: a request that asks to switch has no body, so that no two readers can disagree where the new protocol begins;
// it offers nothing but protocols that hide no further requests from the relay; 101 is believed only when all that it names
// was offered. Upgrade is hop-by-hop: it goes on in the form in which it came, beside a `Connection: Upgrade` of our own.
import { COMMA, SLASH, SPACE, TOKEN_LOWER, eachListElement, latin1 } from "../bytes.ts";
import { cutField } from "./cuts.ts";
import { faults } from "./faults.ts";
import type { FieldTable } from "../field-table.ts";
import { fieldIds } from "./field-ids.ts";
import type { Head } from "./head.ts";

/** Protocols that one message may name; nobody has seen more than three. */
const PROTOCOLS_MAX = 16;

const H2 = latin1("h2");
const HTTP = latin1("http");
const TLS = latin1("tls");

/** Takes in one Upgrade line: what it offers. False when it is no list of protocols; `head.fault` is set. */
export function noteUpgrade(head: Head, bytes: Uint8Array, start: number, end: number): boolean {
  head.upgradeLines++;
  const { upgradeOffers: offers } = head;
  let valid = true;
  eachListElement(bytes, start, end, (from, to) => {
    if (!isProtocol(bytes, from, to) || offers.length === PROTOCOLS_MAX) valid = false;
    else if (isConcealing(bytes, from, to)) head.upgradeConceals = true;
    else offers.push(bytes.slice(from, to));
    return valid;
  });
  if (valid) return true;
  // Of a response it is not passed on, and as a 101 it is refused with this.
  head.upgradeConceals = true;
  head.fault = faults.upgrade;
  return false;
}

/** token ["/" token] (RFC 9110 §7.8). */
function isProtocol(bytes: Uint8Array, start: number, end: number): boolean {
  let at = start;
  while (at < end && TOKEN_LOWER[bytes[at] as number] !== 0) at++;
  if (at === start || at === end) return at > start;
  if (bytes[at] !== SLASH) return false;
  const version = ++at;
  while (at < end && TOKEN_LOWER[bytes[at] as number] !== 0) at++;
  return at === end && at > version;
}

/**
 * h2c (RFC 9113 §3.1 has it removed), other HTTP and TLS (RFC 2817): in such a tunnel would be further requests, each of which
 * has to be decided on by itself.
 */
function isConcealing(bytes: Uint8Array, start: number, end: number): boolean {
  return beginsWith(bytes, start, end, H2) || beginsWith(bytes, start, end, HTTP) || beginsWith(bytes, start, end, TLS);
}

function beginsWith(bytes: Uint8Array, start: number, end: number, lower: Uint8Array): boolean {
  if (end - start < lower.length) return false;
  for (let n = 0; n < lower.length; n++) if (TOKEN_LOWER[bytes[start + n] as number] !== lower[n]) return false;
  return true;
}

/**
 * Whether the Upgrade lines of a head go on. Where not, they are cut, and what remains is an ordinary message: a server is free
 * to ignore them (RFC 9110 §7.8).
 *
 * @param meant the message may use Upgrade at all.
 */
export function concludeUpgrade(head: Head, bytes: Uint8Array, table: FieldTable, meant: boolean): void {
  // RFC 9110 §7.8: without the connection option it was not meant for us; in HTTP/1.0 it means nothing.
  head.switches = meant && head.minor === 1 && head.connectionUpgrade && head.upgradeOffers.length > 0;
  if (head.switches && head.upgradeLines === 1 && !head.upgradeConceals) return;
  cutField(head, bytes, table, fieldIds.upgrade);
  head.upgradeRewritten = head.switches;
}

/** The names in `offers` as one list. */
export function listOf(offers: readonly Uint8Array[]): Uint8Array {
  const list = new Uint8Array(offers.reduce((sum, offer) => sum + offer.length + 2, 0));
  let at = 0;
  for (const offer of offers) {
    if (at > 0) {
      list[at++] = COMMA;
      list[at++] = SPACE;
    }
    list.set(offer, at);
    at += offer.length;
  }
  return list.subarray(0, at);
}

/** Whether everything that a 101 response names was offered; names are compared without case (RFC 9110 §7.8). */
export function isOffered(named: Head, offers: readonly Uint8Array[]): boolean {
  if (!named.switches || named.upgradeConceals) return false;
  return named.upgradeOffers.every((name) => offers.some((offer) => equalsFolded(name, offer)));
}

function equalsFolded(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  // What is no token character, the slash, is 0 in the table and stands in the same place in both.
  for (let n = 0; n < a.length; n++) if (TOKEN_LOWER[a[n] as number] !== TOKEN_LOWER[b[n] as number]) return false;
  return true;
}
