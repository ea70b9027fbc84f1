// One endpoint of the table, a listener's target or an authority that passes through: where it is, how loaded, how healthy.
import { coarse } from "../../base/clock.ts";
import type { Http1Pool } from "../http1/pool.ts";

/** Consecutive failures after the connection was made that eject an endpoint; a refused connection does so at once. */
const FAILURES_BEFORE_EJECTION = 3;

/** When an endpoint is ejected and for how long; see `timeouts` in base/limits.ts. */
export interface EjectionTimes {
  readonly ejectBaseMs: number;
  readonly ejectMs: number;
}

/** `host:port`, shared by everything in the process that reaches it. */
export class Endpoint {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  /** Addresses of the host: itself, or what the last successful look-up said; empty until then. */
  addresses: readonly string[];
  /** Exchanges that are using it now. */
  outstanding = 0;
  /** Coarse clock; passed over until then. */
  ejectedUntilMs = 0;
  lastUsedMs = coarse.nowMs;
  /** Bytes of `name`, for a Host field that is missing. */
  readonly authority: Uint8Array;
  pool!: Http1Pool; // set by the registry, which makes both: the pool needs its endpoint
  #failures = 0;
  #ejections = 0;
  #nextAddress = 0;

  constructor(name: string, host: string, port: number, isAddress: boolean) {
    this.name = name;
    this.host = host;
    this.port = port;
    this.addresses = isAddress ? [host] : [];
    this.authority = new TextEncoder().encode(name);
  }

  get isName(): boolean {
    return this.addresses.length !== 1 || this.addresses[0] !== this.host;
  }

  get ejected(): boolean {
    return this.ejectedUntilMs > coarse.nowMs;
  }

  /** The address for the next connection: each in its turn, so that a failed attempt tries another one. */
  nextAddress(): string | undefined {
    const { addresses } = this;
    if (addresses.length === 0) return undefined;
    this.#nextAddress = (this.#nextAddress + 1) % addresses.length;
    return addresses[this.#nextAddress];
  }

  /** It answered: whatever was held against it is forgotten. */
  noteSuccess(): void {
    if (this.#failures === 0 && this.#ejections === 0) return;
    this.#failures = 0;
    this.#ejections = 0;
    this.ejectedUntilMs = 0;
  }

  /** It could not be reached (`connecting`) or broke off before it answered. */
  noteFailure(connecting: boolean, times: EjectionTimes): void {
    this.#failures++;
    if (!connecting && this.#failures < FAILURES_BEFORE_EJECTION) return;
    if (times.ejectMs === 0 || this.ejected) return;
    const durationMs = Math.min(times.ejectMs, times.ejectBaseMs * 2 ** Math.min(this.#ejections, 20));
    this.#ejections++;
    this.ejectedUntilMs = coarse.nowMs + durationMs;
  }
}

/**
 * Several endpoints that can do the same: least outstanding of two random choices, which avoids both the herd of "least of
 * all" and the blindness of one random choice. Ejected ones are passed over; when all are ejected, the one that returns
 * first is tried, because a try is worth more than a certain error.
 */
export function pickEndpoint(endpoints: readonly Endpoint[], tried: readonly Endpoint[]): Endpoint | undefined {
  if (endpoints.length === 1 && tried.length === 0) return endpoints[0];
  const open = endpoints.filter((endpoint) => !tried.includes(endpoint));
  const healthy = open.filter((endpoint) => !endpoint.ejected);
  if (healthy.length === 0) {
    return open.reduce<Endpoint | undefined>(
      (first, endpoint) => (first === undefined || endpoint.ejectedUntilMs < first.ejectedUntilMs ? endpoint : first),
      undefined,
    );
  }
  const a = Math.floor(Math.random() * healthy.length);
  if (healthy.length === 1) return healthy[0];
  const b = (a + 1 + Math.floor(Math.random() * (healthy.length - 1))) % healthy.length;
  const first = healthy[a] as Endpoint;
  const second = healthy[b] as Endpoint;
  return second.outstanding < first.outstanding ? second : first;
}
