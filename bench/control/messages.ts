// What the processes of the simulation tell each other.

import type { Plan } from "./plan.ts";

export interface StartControl {
  readonly kind: "start";
  readonly plan: Plan;
  readonly port: number;
  readonly slowMs: number;
  /** By sandbox: how often it has been changed already. */
  readonly changes: readonly (readonly [sandbox: number, changes: number])[];
  readonly revision: number;
}

export type ToControl =
  | StartControl
  /** One commit: this sandbox has been changed so often now. */
  | { readonly kind: "change"; readonly sandbox: number; readonly changes: number }
  | { readonly kind: "report" }
  | { readonly kind: "digests"; readonly sidecars: readonly number[] };

export type FromControlProcess =
  | { readonly kind: "started"; readonly address: string }
  | { readonly kind: "report"; readonly report: ControlReport }
  | { readonly kind: "digests"; readonly digests: readonly string[] };

/** Since the last report, but for what is a state. */
export interface ControlReport {
  readonly revision: number;
  readonly streams: number;
  readonly current: number;
  /** Milliseconds from each commit to the last acknowledgement of it, of changes that are acknowledged. */
  readonly latenciesMs: readonly number[];
  /** Changes that somebody has not acknowledged. */
  readonly open: number;
  /** Acknowledgements per change that were waited for. */
  readonly concerned: number;
  readonly cpuMs: number;
  readonly wallMs: number;
  readonly rssMib: number;
  /** Of the process's life. */
  readonly peakRssMib: number;
  readonly loopDelayMaxMs: number;
  readonly updates: number;
  readonly bytes: number;
  readonly wholeTables: number;
  readonly resumed: number;
  readonly slow: number;
}

export type ToClients =
  | {
      readonly kind: "start";
      readonly plan: Plan;
      readonly address: string;
      readonly sidecars: readonly number[];
      /** Of the table that they have already, kept from before; 0: none. */
      readonly revision: number;
    }
  /** These stop reading, as their whole table comes. */
  | { readonly kind: "slow"; readonly plan: Plan; readonly address: string; readonly sidecars: readonly number[] }
  | { readonly kind: "digests"; readonly sidecars: readonly number[] }
  | { readonly kind: "report" };

export type FromClients =
  | { readonly kind: "report"; readonly connected: number; readonly cpuMs: number; readonly rssMib: number }
  | { readonly kind: "digests"; readonly digests: readonly string[] };

/** The source that all sidecars of the simulation know. */
export const SOURCE = "bench";
