// Addresses that a config lets a process listen on.

import { ANY_HOST } from "../base/listen.ts";
import { formatEndpoint, parseEndpoint } from "../routing/endpoint-name.ts";
import { valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { parseListenAddress } from "./listen-address.ts";
import type { ListenEndpoint } from "./listen-address.ts";

/** Addresses to listen on; two of one port must not meet. */
export class Addresses {
  readonly #claimed: { readonly endpoint: ListenEndpoint; readonly path: Path; readonly owner: string }[] = [];
  readonly #problems: Finding[];

  readonly #takesAny: boolean;

  /** `any`: whether `*:port` is an address, too. */
  constructor(problems: Finding[], { any = false } = {}) {
    this.#problems = problems;
    this.#takesAny = any;
  }

  claim(address: string, path: Path, owner: string): ListenEndpoint | undefined {
    const endpoint = this.#takesAny ? parseListenAddress(address) : parseEndpoint(address, true);
    if ("problem" in endpoint) {
      const hint = address.startsWith(":") ? { ...endpoint, hint: `write 0.0.0.0${address}` } : endpoint;
      this.#problems.push(malformed(path, `${quote(address)} is not an address`, hint));
      return undefined;
    }
    const first = this.#claimed.find(
      (claimed) =>
        endpoint.port !== 0 &&
        claimed.endpoint.port === endpoint.port &&
        overlaps(claimed.endpoint.host, endpoint.host),
    );
    if (first !== undefined) {
      this.#problems.push({
        place: valueAt(...path),
        other: valueAt(...first.path),
        message: `${owner} listens on ${address}, which ${first.owner} has as ${formatEndpoint(first.endpoint)}`,
        why: "one address serves one listener",
        hint: "write another port",
      });
    }
    this.#claimed.push({ endpoint, path, owner });
    return endpoint;
  }
}

/** Whether one socket address covers the other: a wildcard covers all (`::` takes IPv4 as well), `localhost` its addresses. */
function overlaps(a: string, b: string): boolean {
  if (a === b || isWildcard(a) || isWildcard(b)) return true;
  return (a === "localhost" && isLoopbackHost(b)) || (b === "localhost" && isLoopbackHost(a));
}

function isWildcard(host: string): boolean {
  return host === ANY_HOST || host === "0.0.0.0" || host === "::";
}

/**
 * Whether a connection to `target` surely ends at what listens on `own`, both with the same port. A name may be another machine's,
 * as the app's beside a sidecar in compose; should it be this one after all, the sidecar notices the loop.
 */
export function reachesItself(own: string, target: string): boolean {
  if (!isWildcard(own)) return overlaps(own, target);
  return isWildcard(target) || isLoopbackHost(target);
}

/** Whether only this machine reaches an address with this host. */
export function isLoopbackHost(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** What is wrong with how something at `path` is spelt. */
export function malformed(path: Path, message: string, { problem, hint }: { problem: string; hint: string }): Finding {
  return { place: valueAt(...path), message, why: problem, hint };
}

/** As one would write it in the file. */
export function quote(text: string): string {
  return JSON.stringify(text);
}
