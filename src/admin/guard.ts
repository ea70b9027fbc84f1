// Who may ask. These servers know no passwords: whoever reaches the address may use it. What must not happen is that a
// web page uses a developer's browser to reach it, in one of two ways:
//
// - DNS rebinding: a page at evil.example points its own name at 127.0.0.1 and reads /config and /table as "same origin". The
//   browser still sends `Host: evil.example`. On a loopback address a Host must therefore be an address, localhost, or the
//   name in the config. On other addresses any name is good: in a cluster nobody can list the names under which a pod is
//   reached, and there a firewall (or the address) decides who reaches it.
// - A form or fetch that posts across origins, which needs no rebinding and no permission: POST /drain would end the
//   sidecar. Browsers send Origin with every POST and Sec-Fetch-Site with every request; tools send neither. A request that
//   changes something and carries one is refused, on every address.

import type { IncomingMessage } from "node:http";
import { parseEndpoint, parseHost } from "../routing/endpoint-name.ts";
import { problemAnswer } from "./answer.ts";
import type { Answer } from "./answer.ts";

/** Where the server listens, as far as that decides who may ask. */
export interface GuardedAddress {
  /** Host of the address as configured. */
  readonly host: string;
  readonly loopback: boolean;
}

/** Whether an address as `server.address()` gives it is only reachable from this machine. */
export function isLoopback(address: string): boolean {
  return address === "::1" || /^(?:::ffff:)?127\./iu.test(address);
}

/** The refusal of a request that may come from a web page, or undefined. */
export function refusal(request: IncomingMessage, address: GuardedAddress): Answer | undefined {
  const { host, origin, "sec-fetch-site": fetchSite } = request.headers;
  const changes = request.method !== "GET" && request.method !== "HEAD";
  if (changes && (origin !== undefined || fetchSite !== undefined)) {
    return problemAnswer(403, `${request.method} is not taken from web pages; use curl or another tool`);
  }
  if (host === undefined) {
    // RFC 9112 §3.2; HTTP/1.0 has no Host, and browsers do not speak it.
    return request.httpVersion === "1.0" ? undefined : problemAnswer(400, "the request has no Host field");
  }
  if (address.loopback && !isOwnHost(host, address.host)) {
    const detail = `this server is on a loopback address and does not answer to the host ${JSON.stringify(host)}; use localhost or the address itself`;
    return problemAnswer(421, detail);
  }
  return undefined;
}

/** RFC 6761 §6.3: `localhost` and everything below it is loopback by definition. */
function isOwnHost(text: string, configured: string): boolean {
  const endpoint = parseEndpoint(text, true);
  const parsed = "problem" in endpoint ? parseHost(text) : endpoint;
  if ("problem" in parsed) return false;
  if (parsed.kind !== "name") return true;
  const name = parsed.host.replace(/\.$/u, "");
  return name === "localhost" || name.endsWith(".localhost") || name === configured.toLowerCase();
}
