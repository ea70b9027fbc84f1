// Endpoints and hosts as people write them: `host:port` with an IPv4 address, an IPv6 address in brackets, or a DNS name.

/** An endpoint in parts. */
export interface Endpoint {
  /** Address or name, IPv6 without brackets, in small letters. */
  readonly host: string;
  readonly port: number;
  readonly kind: HostKind;
}

export type HostKind = "ipv4" | "ipv6" | "name";

/** Why something is not an endpoint or host, and what to write instead. */
export interface Malformed {
  readonly problem: string;
  readonly hint: string;
}

/** Reads `host:port`. Port 0 ("any free port") only where `zeroAllowed`. */
export function parseEndpoint(text: string, zeroAllowed = false): Endpoint | Malformed {
  const { host, port } = splitPort(text);
  if (text.includes("://")) {
    const rest = text.slice(text.indexOf("://") + 3).replace(/[/?#].*$/su, "");
    return { problem: "an endpoint is host:port, not a URL", hint: `write ${withPort(rest)}` };
  }
  if (/[/?#@\s]/u.test(text)) {
    return {
      problem: "an endpoint is host:port and nothing else",
      hint: `write ${withPort(host.replace(/[/?#@\s].*$/su, ""))}`,
    };
  }
  if (/^[0-9]+$/u.test(text)) {
    const isPort = Number(text) >= (zeroAllowed ? 0 : 1) && Number(text) <= 65535;
    return { problem: "the host is missing", hint: `write 127.0.0.1:${isPort ? Number(text) : 8080}` };
  }
  if (port === undefined) {
    if (isIpv6(text)) return { problem: "an IPv6 address needs brackets and a port", hint: `write [${text}]:8080` };
    if (text.startsWith("[") && isIpv6(text.slice(1).replace(/:\d+$/u, "")))
      return { problem: "the closing bracket is missing", hint: "write [IPv6]:port" };
    if (text.startsWith("[") || !text.includes(":"))
      return { problem: "the port is missing", hint: `write ${withPort(text)}` };
    return { problem: "not host:port", hint: "write host:port, or [IPv6]:port" };
  }
  if (host === "") return { problem: "the host is missing", hint: `write 127.0.0.1:${port || "8080"}` };
  const number = /^[0-9]{1,5}$/u.test(port) ? Number(port) : Number.NaN;
  if (!(number >= (zeroAllowed ? 0 : 1) && number <= 65535)) {
    const range = zeroAllowed ? "0 to 65535" : "1 to 65535";
    return { problem: `${quote(port)} is not a port`, hint: `write a number from ${range}` };
  }
  const parsed = parseHost(host);
  return "problem" in parsed ? parsed : { ...parsed, port: number };
}

/** Reads a host without port: an address (IPv6 with or without brackets) or a DNS name. */
export function parseHost(text: string): { readonly host: string; readonly kind: HostKind } | Malformed {
  if (text.includes("://")) {
    const host = text.slice(text.indexOf("://") + 3).replace(/[:/?#].*$/su, "");
    return { problem: "a host is a name or an address, not a URL", hint: `write ${host || "the host alone"}` };
  }
  const bracketed = /^\[(.*)\]$/su.exec(text)?.[1];
  if (bracketed !== undefined || text.includes(":")) {
    const address = bracketed ?? text;
    if (isIpv6(address)) return { host: address.toLowerCase(), kind: "ipv6" };
    if (bracketed === undefined && /^[^:]+:[0-9]+$/u.test(text))
      return { problem: "a host has no port", hint: `write ${text.slice(0, text.indexOf(":"))}` };
    if (address.includes("%")) return { problem: "an IPv6 zone is not supported", hint: "write the address without %" };
    return { problem: `${quote(address)} is not an IPv6 address`, hint: "write it as in [2001:db8::1]" };
  }
  if (/^[0-9.]+$/u.test(text)) {
    if (isIpv4(text)) return { host: text, kind: "ipv4" };
    return {
      problem: `${quote(text)} is not an IPv4 address`,
      hint: "write four numbers from 0 to 255, without leading zeros",
    };
  }
  return parseName(text);
}

/** The usual spelling: `host:port`, IPv6 in brackets. */
export function formatEndpoint(endpoint: { readonly host: string; readonly port: number }): string {
  return endpoint.host.includes(":") ? `[${endpoint.host}]:${endpoint.port}` : `${endpoint.host}:${endpoint.port}`;
}

/** RFC 1123 §2.1, and `_`, which no host name may hold but which many internal names do. One final dot is allowed. */
function parseName(text: string): { readonly host: string; readonly kind: HostKind } | Malformed {
  const name = text.endsWith(".") ? text.slice(0, -1) : text;
  if (name === "") return { problem: "the host is empty", hint: "write a name or an address" };
  if (name.includes("*")) return { problem: "wildcards are not supported", hint: "list every host" };
  const wrong = /[^A-Za-z0-9._-]/u.exec(name);
  if (wrong !== null) {
    const hint = "use letters, digits, '-', '_' and '.'; international names in their xn-- form";
    return { problem: `${quote(wrong[0])} cannot be part of a host name`, hint };
  }
  if (name.length > 253) return { problem: "a host name has at most 253 characters", hint: "shorten it" };
  for (const label of name.split(".")) {
    if (label === "") return { problem: `${quote(text)} has an empty label`, hint: "remove the extra dot" };
    if (label.length > 63) return { problem: `${quote(label)} is longer than 63 characters`, hint: "shorten it" };
    if (label.startsWith("-") || label.endsWith("-"))
      return { problem: `${quote(label)} begins or ends with '-'`, hint: "begin and end with a letter or digit" };
  }
  return { host: text.toLowerCase(), kind: "name" };
}

function isIpv4(text: string): boolean {
  const parts = text.split(".");
  // A leading zero means octal to some resolvers and nothing to others: never guess.
  return parts.length === 4 && parts.every((part) => /^(?:0|[1-9][0-9]{0,2})$/u.test(part) && Number(part) <= 255);
}

/** RFC 4291 §2.2: eight groups of hex digits, one run of zero groups as `::`, the last two groups as IPv4 if so written. */
function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [half, part] of halves.entries()) {
    if (part === "") continue;
    const words = part.split(":");
    for (const [index, word] of words.entries()) {
      const last = half === halves.length - 1 && index === words.length - 1;
      if (last && word.includes(".")) {
        if (!isIpv4(word)) return false;
        groups += 2;
      } else if (/^[0-9A-Fa-f]{1,4}$/u.test(word)) groups++;
      else return false;
    }
  }
  if (halves.length === 2) return groups <= 7;
  return groups === 8;
}

/** Splits at the last colon, unless that colon is part of a bare IPv6 address or of a bracket. */
function splitPort(text: string): { readonly host: string; readonly port: string | undefined } {
  const bracket = text.lastIndexOf("]");
  const colon = text.lastIndexOf(":");
  if (colon <= bracket) return { host: text, port: undefined };
  const host = text.slice(0, colon);
  if (bracket === -1 && host.includes(":")) return { host: text, port: undefined };
  return { host, port: text.slice(colon + 1) };
}

function withPort(host: string): string {
  return /:[0-9]+$/u.test(host) || host === "" ? host || "host:port" : `${host}:8080`;
}

function quote(text: string): string {
  return JSON.stringify(text);
}
