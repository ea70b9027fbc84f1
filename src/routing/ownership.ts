// Who handles a message: the same question as who answers a request, asked where nothing can be forwarded. Consumers of one
// service run as the baseline's instances and as those of sandboxes, all of them may see the message, and one of them owns it.
//
// Guarantee: the owner is whom an inbound sidecar of the baseline would send a request with the same key to (`decide`), so
// for every table, service and key there is exactly one. In particular the baseline owns what carries the key of a
// sandbox that does not have this service: skipping whatever carries a key would lose it.

import type { DecisionReason } from "../base/reasons.ts";
import type { CompiledTable } from "./compiled-table.ts";
import { NO_KEY, NO_SERVICE, UNKNOWN_KEY } from "./decide.ts";

/** The owner of everything that no sandbox claims; no sandbox can be called so (names.ts). */
export const BASELINE = "baseline";

/** Why somebody owns a message, in the words of decisions. */
export type OwnershipReason = Extract<DecisionReason, "no-key" | "unknown-key" | "sandbox" | "not-in-sandbox">;

/** Who owns a message, and why. */
export interface Ownership {
  /** `BASELINE` or the name of a sandbox; of a group its first member that has the service. */
  readonly owner: string;
  readonly reason: OwnershipReason;
  readonly key: string | undefined;
}

/** A key whose messages to a service are a sandbox's. */
export interface Claim {
  readonly key: string;
  /** Name of the sandbox. */
  readonly owner: string;
}

/** Targets looked at per slice of `ownershipRule`: a fraction of a millisecond. */
const TARGETS_PER_SLICE = 500;

/** Who owns a message to `service` with this routing key. */
export function ownerOf(table: CompiledTable, service: string, key: string | undefined): Ownership {
  const target = key === undefined ? NO_KEY : findTarget(table, key);
  const owner = ownerOfTarget(table, claimPort(table, service), target);
  return { owner, reason: ownershipReason(target, owner), key };
}

/**
 * The service port that stands for the service in `ownerOfTarget`, -1 when the table does not have the service. Any of them
 * does: a sandbox has every port of a service or none. Asked once per table and service, because it allocates.
 */
export function claimPort(table: CompiledTable, service: string): number {
  const id = table.serviceByName(service);
  return id === NO_SERVICE ? -1 : table.servicePortByName(id, table.portNames(id)[0] ?? "");
}

/** What to say about a service for which `claimPort` has found none: its name may be misspelt, or the table be older. */
export function unknownService(service: string): string {
  return `the table has no service ${service}, so that the baseline owns everything: check the spelling`;
}

/** Who owns a message to the service of this port; `target` as a `KeyFinder` gives it. */
export function ownerOfTarget(table: CompiledTable, servicePort: number, target: number): string {
  if (target < 0 || servicePort === -1) return BASELINE;
  const set = table.overrideSet(target, servicePort);
  return set === -1 ? BASELINE : table.setOwner(set);
}

/** The reason that belongs to an owner that `ownerOfTarget` gave. */
export function ownershipReason(target: number, owner: string): OwnershipReason {
  if (target === NO_KEY) return "no-key";
  if (target === UNKNOWN_KEY) return "unknown-key";
  return owner === BASELINE ? "not-in-sandbox" : "sandbox";
}

/**
 * All keys that sandboxes claim for a service, with their owners, in the order of the table; the messages with any other key
 * and those without are the baseline's. In slices, so that the caller can let others run in between: a table may
 * have 100,000 sandboxes.
 */
export function* ownershipRule(table: CompiledTable, service: string): Generator<readonly Claim[], void> {
  const port = claimPort(table, service);
  if (port === -1) return;
  for (let first = 0; first < table.targetCount; first += TARGETS_PER_SLICE) {
    const claims: Claim[] = [];
    const end = Math.min(first + TARGETS_PER_SLICE, table.targetCount);
    for (let target = first; target < end; target++) {
      const owner = ownerOfTarget(table, port, target);
      if (owner !== BASELINE) claims.push({ key: table.targetKey(target), owner });
    }
    yield claims;
  }
}

function findTarget(table: CompiledTable, key: string): number {
  const bytes = Buffer.from(key);
  const target = table.findTarget(bytes, 0, bytes.length);
  return target === -1 ? UNKNOWN_KEY : target;
}
