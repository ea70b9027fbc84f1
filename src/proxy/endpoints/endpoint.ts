// One endpoint of the table, a listener's target or an authority that passes through: where it is, how loaded, how healthy.
//
// Guarantees: an endpoint that cannot be reached is passed over for a while, twice as long each time, until it answers; an
// address of a name that cannot be reached is passed over alone as long as the name has others.
import type { ConnectionOptions, TLSSocket } from "node:tls";
import { coarse } from "../../base/clock.ts";
import type { Http1Pool } from "../http1/pool.ts";
import type { TcpConnector } from "../tcp/connector.ts";
import type { Http2Pool } from "../http2/pool.ts";
import type { Pool } from "./pool.ts";

/** Consecutive failures after the connection was made that eject an endpoint; a refused connection does so at once. */
const FAILURES_BEFORE_EJECTION = 3;
/** Doublings of the ejection time; 2^20 times anything is beyond every cap. */
const DOUBLINGS_MAX = 20;

/** When an endpoint is ejected and for how long; see `timeouts` in base/limits.ts. */
export interface EjectionTimes {
  readonly ejectBaseMs: number;
  readonly ejectMs: number;
}

/** How connections to an endpoint are secured. */
export interface EndpointTls {
  /** Sets endpoints apart that have one address but are secured in different ways. */
  readonly name: string;
  /** The last attempt to connect came to nothing for a reason of TLS. */
  readonly failed: boolean;
  /** Begins a TLS connection; `protocols` are offered by ALPN (RFC 7301), best first. */
  connect(options: ConnectionOptions, protocols: readonly string[]): TLSSocket;
}

/** Makes the connections of one protocol to an endpoint when it is first used. */
export interface PoolMakers {
  http1(endpoint: Endpoint): Http1Pool;
  http2(endpoint: Endpoint): Http2Pool;
  tcp(endpoint: Endpoint): TcpConnector;
}

/** `host:port`, shared by everything in the process that reaches it. */
export class Endpoint {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** The host is a name that has to be looked up. */
  readonly isName: boolean;
  /** Bytes of `name`, for a Host field that is missing. */
  readonly authority: Uint8Array;
  /** Exchanges that are using it now. */
  outstanding = 0;
  /** Coarse clock; passed over until then. */
  ejectedUntilMs = 0;
  lastUsedMs = coarse.nowMs;
  /** The last table that has a route to it, as the registry counts them. */
  generation = 0;
  /** Since when there is a later table that has not asked for it, 0 when there is none. */
  supersededMs = 0;
  /** No present table has used it for a while: connections are not kept for it. */
  retired = false;
  /** The addresses are old: to be looked up before the next connection is made. */
  stale = true;
  /** Undefined: connections are not secured. */
  readonly tls: EndpointTls | undefined;
  /** Those that exist: most endpoints speak one protocol. */
  readonly pools: Pool[] = [];
  readonly #make: PoolMakers;
  #http1: Http1Pool | undefined;
  #http2: Http2Pool | undefined;
  #tcp: TcpConnector | undefined;
  #addresses: readonly string[];
  /** Address -> coarse time until which it is passed over. */
  readonly #unreachable = new Map<string, number>();
  #failures = 0;
  #ejections = 0;
  #nextAddress = 0;

  constructor(name: string, host: string, port: number, isAddress: boolean, make: PoolMakers, tls?: EndpointTls) {
    this.name = name;
    this.tls = tls;
    this.#make = make;
    this.host = host;
    this.port = port;
    this.isName = !isAddress;
    this.#addresses = isAddress ? [host] : [];
    this.authority = new TextEncoder().encode(name);
  }

  /** Its HTTP/1.1 connections. */
  get http1(): Http1Pool {
    return (this.#http1 ??= this.#keep(this.#make.http1(this)));
  }

  /** Its connections that are relayed as bytes. */
  get tcp(): TcpConnector {
    return (this.#tcp ??= this.#keep(this.#make.tcp(this)));
  }

  /** Its HTTP/2 connections. */
  get http2(): Http2Pool {
    return (this.#http2 ??= this.#keep(this.#make.http2(this)));
  }

  #keep<P extends Pool>(pool: P): P {
    this.pools.push(pool);
    return pool;
  }

  /** Has connections, or exchanges that wait for one. */
  get live(): boolean {
    return this.pools.some((pool) => pool.live);
  }

  /** Addresses of the host: itself, or what the last successful look-up said; empty until then. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** A look-up has answered. Connections to addresses that it no longer names end with their present exchange. */
  setAddresses(addresses: readonly string[]): void {
    const lost = this.#addresses.some((address) => !addresses.includes(address));
    this.#addresses = addresses;
    if (!lost) return;
    for (const address of this.#unreachable.keys()) if (!addresses.includes(address)) this.#unreachable.delete(address);
    for (const pool of this.pools) pool.retainAddresses(addresses);
  }

  /** Why a request that could not be sent anywhere else was not sent here either. */
  get unreachableReason(): "upstream-unavailable" | "upstream-tls-failed" {
    return this.tls?.failed === true ? "upstream-tls-failed" : "upstream-unavailable";
  }

  get ejected(): boolean {
    return this.ejectedUntilMs > coarse.nowMs;
  }

  /** The address for the next connection: each in its turn, those that were just found unreachable last. */
  nextAddress(): string | undefined {
    const addresses = this.#addresses;
    const count = addresses.length;
    if (count === 0) return undefined;
    const first = (this.#nextAddress + 1) % count;
    let chosen = first;
    for (let step = 0; step < count; step++) {
      const at = (first + step) % count;
      if (!this.#isUnreachable(addresses[at] as string)) {
        chosen = at;
        break;
      }
    }
    this.#nextAddress = chosen;
    return addresses[chosen];
  }

  #isUnreachable(address: string): boolean {
    return this.#unreachable.size > 0 && (this.#unreachable.get(address) ?? 0) > coarse.nowMs;
  }

  /** It answered: whatever was held against it is forgotten. */
  noteSuccess(): void {
    if (this.#failures === 0 && this.#ejections === 0) return;
    this.#failures = 0;
    this.#ejections = 0;
    this.ejectedUntilMs = 0;
  }

  /** No connection to `address` could be made; undefined when there was not even an address. */
  noteUnreachable(address: string | undefined, times: EjectionTimes): void {
    if (address !== undefined && this.#addresses.length > 1) {
      this.#unreachable.set(address, coarse.nowMs + times.ejectBaseMs);
      if (this.#addresses.some((other) => !this.#isUnreachable(other))) return;
    }
    this.noteFailure(true, times);
  }

  /** It could not be reached (`connecting`) or broke off before it answered. */
  noteFailure(connecting: boolean, times: EjectionTimes): void {
    this.#failures++;
    if (!connecting && this.#failures < FAILURES_BEFORE_EJECTION) return;
    // What runs into an ejection that is already there tells nothing new.
    if (times.ejectMs === 0 || this.ejected) return;
    const durationMs = Math.min(times.ejectMs, times.ejectBaseMs * 2 ** Math.min(this.#ejections, DOUBLINGS_MAX));
    this.#ejections++;
    this.ejectedUntilMs = coarse.nowMs + durationMs;
  }
}

/**
 * Several endpoints that can do the same: least outstanding of two random choices, which avoids both the herd of "least of
 * all" and the blindness of one random choice. Ejected ones are passed over; when all are ejected, the one that returns
 * first is tried, because a try is worth more than a certain error.
 *
 * Allocates nothing: it runs once per request.
 *
 * @param tried endpoints that have failed this request already.
 * @returns undefined when all have been tried.
 */
export function pickEndpoint(endpoints: readonly Endpoint[], tried: readonly Endpoint[]): Endpoint | undefined {
  const count = endpoints.length;
  if (count <= 1) {
    const only = endpoints[0];
    return only === undefined || tried.includes(only) ? undefined : only;
  }
  // Nearly always both are healthy; a pair drawn this way is as likely as any other pair of healthy ones.
  const a = Math.floor(Math.random() * count);
  const b = (a + 1 + Math.floor(Math.random() * (count - 1))) % count;
  const first = endpoints[a] as Endpoint;
  const second = endpoints[b] as Endpoint;
  if (isOpen(first, tried) && isOpen(second, tried)) return lessLoaded(first, second);
  return pickAmongFew(endpoints, tried);
}

function isOpen(endpoint: Endpoint, tried: readonly Endpoint[]): boolean {
  return !endpoint.ejected && !tried.includes(endpoint);
}

function lessLoaded(first: Endpoint, second: Endpoint): Endpoint {
  return second.outstanding < first.outstanding ? second : first;
}

function pickAmongFew(endpoints: readonly Endpoint[], tried: readonly Endpoint[]): Endpoint | undefined {
  let open = 0;
  let soonest: Endpoint | undefined;
  for (const endpoint of endpoints) {
    if (tried.includes(endpoint)) continue;
    if (!endpoint.ejected) open++;
    if (soonest === undefined || endpoint.ejectedUntilMs < soonest.ejectedUntilMs) soonest = endpoint;
  }
  if (open === 0) return soonest;
  const a = Math.floor(Math.random() * open);
  const b = open === 1 ? a : (a + 1 + Math.floor(Math.random() * (open - 1))) % open;
  return lessLoaded(openAt(endpoints, tried, a), openAt(endpoints, tried, b));
}

/** The open endpoint number `index`, counted without the others. */
function openAt(endpoints: readonly Endpoint[], tried: readonly Endpoint[], index: number): Endpoint {
  let left = index;
  let found = endpoints[0] as Endpoint;
  for (const endpoint of endpoints) {
    if (!isOpen(endpoint, tried)) continue;
    found = endpoint;
    if (left === 0) break;
    left--;
  }
  return found;
}
