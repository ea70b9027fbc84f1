// Names of endpoints to addresses, off the request path: looked up when the endpoint is first seen, refreshed while it is
// used, and kept as they were when DNS fails.
import { lookup } from "node:dns/promises";
import type { Log } from "../../base/log.ts";
import type { Endpoint } from "./endpoint.ts";

interface Entry {
  pending: Promise<void> | undefined;
  lastMs: number;
  failed: boolean;
}

/** Looks up the names of endpoints. Uses the system's resolver, so that search domains and /etc/hosts count. */
export class Resolver {
  readonly #refreshMs: number;
  readonly #log: Log;
  readonly #entries = new WeakMap<Endpoint, Entry>();

  constructor(refreshMs: number, log: Log) {
    this.#refreshMs = refreshMs;
    this.#log = log;
  }

  /** Resolves when the endpoint's name has been looked up at least once; `addresses` is empty when that failed. */
  async ensure(endpoint: Endpoint): Promise<void> {
    if (endpoint.addresses.length > 0) return;
    await this.#lookUp(endpoint);
  }

  /** Starts a new look-up when the last one is old enough. */
  refresh(endpoint: Endpoint, nowMs: number): void {
    const entry = this.#entryOf(endpoint);
    if (entry.pending === undefined && nowMs - entry.lastMs >= this.#refreshMs) {
      entry.lastMs = nowMs;
      void this.#lookUp(endpoint);
    }
  }

  #entryOf(endpoint: Endpoint): Entry {
    let entry = this.#entries.get(endpoint);
    if (entry === undefined) {
      entry = { pending: undefined, lastMs: Number.NEGATIVE_INFINITY, failed: false };
      this.#entries.set(endpoint, entry);
    }
    return entry;
  }

  #lookUp(endpoint: Endpoint): Promise<void> {
    const entry = this.#entryOf(endpoint);
    entry.pending ??= this.#query(endpoint, entry).finally(() => {
      entry.pending = undefined;
    });
    return entry.pending;
  }

  async #query(endpoint: Endpoint, entry: Entry): Promise<void> {
    try {
      const answers = await lookup(endpoint.host, { all: true });
      const addresses = answers.map((answer) => answer.address);
      if (addresses.join() !== endpoint.addresses.join()) {
        endpoint.addresses = addresses;
        this.#log.debug("endpoint resolved", { endpoint: endpoint.name, addresses: addresses.join(" ") });
      }
      entry.failed = false;
    } catch (error) {
      // Once per outage, not once per refresh.
      if (!entry.failed) {
        this.#log.warn("endpoint's name cannot be resolved, keeping the last addresses", {
          endpoint: endpoint.name,
          error: error instanceof Error ? error.message : String(error),
          addresses: endpoint.addresses.join(" "),
        });
      }
      entry.failed = true;
    }
  }
}
