// Names of endpoints to addresses, off the request path: looked up when the endpoint is first seen, refreshed while it is
// used, and kept as they were when DNS fails.
import { lookup } from "node:dns/promises";
import type { Log } from "../../base/log.ts";
import type { Endpoint } from "./endpoint.ts";

/** All addresses of a name, never none; rejects when there are none to be had. */
export type LookUp = (host: string) => Promise<readonly string[]>;

/** The system's resolver, so that search domains and /etc/hosts count. */
export const systemLookUp: LookUp = async (host) => {
  const answers = await lookup(host, { all: true });
  return answers.map((answer) => answer.address);
};

interface Entry {
  pending: Promise<void> | undefined;
  lastMs: number;
  failed: boolean;
}

/** Looks up the names of endpoints. */
export class Resolver {
  readonly #refreshMs: number;
  readonly #log: Log;
  readonly #lookUpName: LookUp;
  readonly #entries = new WeakMap<Endpoint, Entry>();

  constructor(refreshMs: number, log: Log, lookUp: LookUp) {
    this.#refreshMs = refreshMs;
    this.#log = log;
    this.#lookUpName = lookUp;
  }

  /** Whether a connection may be made with the addresses as they are. */
  ready(endpoint: Endpoint): boolean {
    return !endpoint.isName || (!endpoint.stale && endpoint.addresses.length > 0);
  }

  /** Resolves, never rejects, when the name has been looked up; `addresses` is empty when that never succeeded. */
  async ensure(endpoint: Endpoint): Promise<void> {
    if (!this.ready(endpoint)) await this.#lookUp(endpoint);
  }

  /** Starts a new look-up when the last one is old enough. A name that never resolved is looked up when it is asked for. */
  refresh(endpoint: Endpoint, nowMs: number): void {
    if (!endpoint.isName || endpoint.addresses.length === 0) return;
    const entry = this.#entryOf(endpoint);
    if (entry.pending !== undefined || nowMs - entry.lastMs < this.#refreshMs) return;
    entry.lastMs = nowMs;
    void this.#lookUp(endpoint);
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
      const addresses = await this.#lookUpName(endpoint.host);
      if (addresses.length === 0) throw new Error("the answer has no addresses");
      if (addresses.join() !== endpoint.addresses.join()) {
        endpoint.setAddresses(addresses);
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
    endpoint.stale = false;
  }
}
