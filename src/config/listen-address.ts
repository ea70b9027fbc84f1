import { ANY_HOST } from "../base/listen.ts";
import { parseEndpoint } from "../routing/endpoint-name.ts";
import type { Malformed } from "../routing/endpoint-name.ts";

/** Where to listen: an address, a name, or `ANY_HOST`; port 0 is any free one. */
export interface ListenEndpoint {
  readonly host: string;
  readonly port: number;
}

/** Reads `host:port` as configs have it for listeners: as an endpoint, and `*:port` for all addresses of both families. */
export function parseListenAddress(text: string): ListenEndpoint | Malformed {
  if (!text.startsWith(`${ANY_HOST}:`)) return parseEndpoint(text, true);
  const endpoint = parseEndpoint(`0.0.0.0${text.slice(1)}`, true);
  return "problem" in endpoint ? endpoint : { host: ANY_HOST, port: endpoint.port };
}
