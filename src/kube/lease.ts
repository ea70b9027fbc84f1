// One of several replicas does the work: whoever holds a Lease object. https://kubernetes.io/docs/concepts/architecture/leases/
//
// Guarantees: two replicas never both hold it while their clocks run at the same speed (what they show does not matter: a lease is
// judged by how long it has not changed here). Whoever cannot renew stops before others may take over. A replica that ends lets go.

import type { Log } from "../base/log.ts";
import { backOffMs, pause } from "./back-off.ts";
import type { KubeClient } from "./client.ts";
import { isConflict } from "./kube-error.ts";
import type { KubeError } from "./kube-error.ts";
import { pathOf } from "./object.ts";
import type { KubeObject, ResourceType } from "./object.ts";

const LEASES: ResourceType = { apiVersion: "coordination.k8s.io/v1", plural: "leases" };

/** Field names as in the API. */
export interface Lease extends KubeObject {
  readonly spec?: {
    readonly holderIdentity?: string;
    readonly leaseDurationSeconds?: number;
    /** RFC 3339 with microseconds. */
    readonly acquireTime?: string;
    readonly renewTime?: string;
    readonly leaseTransitions?: number;
  };
}

export interface LeaseOptions {
  readonly client: Pick<KubeClient, "find" | "create" | "replace">;
  readonly namespace: string;
  readonly name: string;
  /** Names this replica, unlike any other. */
  readonly identity: string;
  readonly log: Log;
  /** Others may take over when it has not been renewed for so long. Default 15 s. */
  readonly durationMs?: number;
  /** Between renewals. Default 2 s. */
  readonly renewMs?: number;
}

/**
 * Waits for the lease, runs `lead` while it is held, and waits again when it was lost, until `signal` is aborted. `lead` gets a
 * signal that is aborted when it has to stop; the lease is let go when it has.
 */
export async function leadWithLease(
  options: LeaseOptions,
  signal: AbortSignal,
  lead: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const holder = new LeaseHolder(options);
  const { log, name, renewMs = 2000 } = options;
  while (!signal.aborted) {
    if (!(await holder.tryHold())) {
      await pause(backOffMs({ firstMs: renewMs, mostMs: renewMs }, 1), signal);
      continue;
    }
    log.info("leading", { lease: name });
    const lost = new AbortController();
    const leading = AbortSignal.any([signal, lost.signal]);
    const renewing = holder.renewUntilLost(leading).then(() => lost.abort());
    try {
      await lead(leading);
    } catch (error) {
      log.error("leading has failed, another replica may take over", {
        error: String((error as Error).stack ?? error),
      });
    }
    lost.abort();
    await renewing;
    await holder.release();
    log.info("not leading any more", { lease: name });
    // Whoever could not do it lets others try.
    await pause(renewMs, signal);
  }
}

class LeaseHolder {
  readonly #options: LeaseOptions;
  readonly #path: string;
  readonly #durationMs: number;
  /** The lease as it was last seen to change, and when that was on our clock. */
  #seen: { readonly resourceVersion: string; readonly atMs: number } | undefined;
  #renewedMs = 0;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#path = pathOf(LEASES, options.namespace, options.name);
    this.#durationMs = options.durationMs ?? 15_000;
  }

  /** Whether it is ours now. Never rejects. */
  async tryHold(): Promise<boolean> {
    const { client, identity, namespace, name, log } = this.#options;
    const startMs = performance.now();
    try {
      const lease = await client.find<Lease>(this.#path);
      const now = microTime();
      const durationS = Math.max(1, Math.ceil(this.#durationMs / 1000));
      const spec = { holderIdentity: identity, leaseDurationSeconds: durationS, renewTime: now };
      if (lease === undefined) {
        const metadata = { name, namespace, labels: { "app.kubernetes.io/name": "sidelane" } };
        const body = {
          apiVersion: LEASES.apiVersion,
          kind: "Lease",
          metadata,
          spec: { ...spec, acquireTime: now, leaseTransitions: 0 },
        };
        await client.create(pathOf(LEASES, namespace), body);
      } else {
        const { holderIdentity: holder = "", leaseTransitions = 0, acquireTime = now } = lease.spec ?? {};
        if (holder !== identity && holder !== "" && !this.#isOver(lease, startMs)) return false;
        const changed = holder !== identity;
        await client.replace(this.#path, {
          ...lease,
          apiVersion: LEASES.apiVersion,
          kind: "Lease",
          spec: {
            ...spec,
            acquireTime: changed ? now : acquireTime,
            leaseTransitions: leaseTransitions + (changed ? 1 : 0),
          },
        });
      }
      this.#renewedMs = startMs;
      return true;
    } catch (error) {
      if (!isConflict(error)) log.warn("the lease cannot be had", { lease: name, error: (error as KubeError).message });
      return false;
    }
  }

  /** Resolves when it could not be renewed for two thirds of its duration, or is another's, or the signal is aborted. */
  async renewUntilLost(signal: AbortSignal): Promise<void> {
    const { renewMs = 2000, log, name } = this.#options;
    const deadlineMs = (this.#durationMs * 2) / 3;
    const isLate = (): boolean => performance.now() - this.#renewedMs > deadlineMs;
    while (!signal.aborted) {
      const left = this.#renewedMs + deadlineMs - performance.now();
      await pause(Math.max(0, Math.min(renewMs, left)), signal);
      if (signal.aborted) return;
      // An answer that does not come must not make us believe that it is ours still.
      const late = pause(Math.max(0, this.#renewedMs + deadlineMs - performance.now()), signal);
      const held = await Promise.race([this.tryHold(), late.then(() => undefined)]);
      if (signal.aborted) return;
      if (held === true && !isLate()) continue;
      if (isLate() || (await this.#isOthers())) {
        log.warn("the lease was lost", { lease: name });
        return;
      }
    }
  }

  /** Lets others take over at once. Never rejects. */
  async release(): Promise<void> {
    const { client, identity } = this.#options;
    try {
      const lease = await client.find<Lease>(this.#path);
      if (lease?.spec?.holderIdentity !== identity) return;
      const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: microTime() };
      await client.replace(this.#path, { ...lease, apiVersion: LEASES.apiVersion, kind: "Lease", spec });
    } catch {
      // It will be over by itself.
    }
  }

  async #isOthers(): Promise<boolean> {
    const { client, identity } = this.#options;
    try {
      const lease = await client.find<Lease>(this.#path);
      return lease !== undefined && lease.spec?.holderIdentity !== identity;
    } catch {
      return false;
    }
  }

  /** Whether another's lease has not changed for as long as it says that it lasts. */
  #isOver({ metadata, spec }: Lease, nowMs: number): boolean {
    const { resourceVersion = "" } = metadata;
    if (this.#seen?.resourceVersion !== resourceVersion) {
      this.#seen = { resourceVersion, atMs: nowMs };
      return false;
    }
    const lastsMs = (spec?.leaseDurationSeconds ?? this.#durationMs / 1000) * 1000;
    return nowMs - this.#seen.atMs > lastsMs;
  }
}

/** MicroTime of the API: RFC 3339 with six digits. */
function microTime(): string {
  return new Date().toISOString().replace("Z", "000Z");
}
