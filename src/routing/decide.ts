import type { DecisionReason } from "../base/reasons.ts";
import type { CompiledTable } from "./compiled-table.ts";

/** What a listener contributes to its decisions; fixed when the listener starts. */
export interface RoutePolicy {
  readonly direction: "inbound" | "outbound";
  /** The config names a sandbox and the direction is inbound: whatever arrives belongs to the app. */
  readonly self: boolean;
  readonly onUnknownKey: "baseline" | "reject";
  /** The sandbox of the config, so that decisions beside its copy name it as their destination. */
  readonly sandbox?: string;
  /** Inbound: the service of the config, so that decisions name it even when the table does not know it. */
  readonly service?: string;
  /** There are services that the table does not name: see `unmetExpectation`. */
  readonly isPartial?: boolean;
}

/** In place of a target id: no carrier yielded a key. */
export const NO_KEY = -2;
/** In place of a target id: there is a key, but no sandbox or group has it. */
export const UNKNOWN_KEY = -1;

/** In place of a service id: the table does not know the host. */
export const NO_SERVICE = -1;

/** Where requests of one kind go, and why. */
export interface Decision {
  readonly reason: DecisionReason;
  /** Name of the service, "" when an outbound authority is not in the table. */
  readonly service: string;
  /** Who answers: "baseline", the name of a sandbox, "passthrough" for what is not in the table, "none" when nobody is asked. */
  readonly destination: string;
  /** Endpoint set, or -1: inbound the listener's target, outbound the authority itself. */
  readonly set: number;
  /** Answer with the reason instead of forwarding. */
  readonly refuse: boolean;
}

/**
 * DESIGN §3.4, steps 1 to 5, in that order: service, key, self, target. Pure; the caller keeps the result per (table,
 * listener, service port, target).
 *
 * Inbound, the service is the config's whether the table knows it or not, and everything that no sandbox claims goes to
 * the listener's target. Outbound, a host or port that is not in the table passes through.
 */
export function decide(
  table: CompiledTable,
  policy: RoutePolicy,
  service: number,
  servicePort: number,
  target: number,
): Decision {
  const inbound = policy.direction === "inbound";
  const name = service === NO_SERVICE ? (inbound ? (policy.service ?? "") : "") : table.serviceName(service);

  // 1. No such service, or not on this port: nobody can claim the request.
  if (!inbound && servicePort === -1) {
    return { reason: "not-in-table", service: name, destination: "passthrough", set: -1, refuse: false };
  }

  // Beside a sandbox's own copy the listener's target is that copy, not the baseline.
  const destination = policy.self ? (policy.sandbox ?? "baseline") : "baseline";
  const set = inbound ? -1 : table.baselineSet(servicePort);

  // 2. No key.
  if (target === NO_KEY) return { reason: "no-key", service: name, destination, set, refuse: false };

  // 3. The app beside this sidecar is the sandbox: whoever sent the request here has decided already.
  if (policy.self) return { reason: "self", service: name, destination, set, refuse: false };

  // 4. A key that selects nothing.
  if (target === UNKNOWN_KEY) {
    const refuse = policy.onUnknownKey === "reject";
    return { reason: "unknown-key", service: name, destination: refuse ? "none" : destination, set, refuse };
  }

  // 5. The sandbox, or the first member of the group that has the service.
  if (servicePort !== -1) {
    const own = table.overrideSet(target, servicePort);
    if (own !== -1) {
      return { reason: "sandbox", service: name, destination: table.setOwner(own), set: own, refuse: false };
    }
  } else if (service !== NO_SERVICE) {
    // Inbound on a port that the table does not have: not the sandbox's decision, and visible as what it is.
    return { reason: "not-in-table", service: name, destination, set, refuse: false };
  }
  return { reason: "not-in-sandbox", service: name, destination, set, refuse: false };
}
