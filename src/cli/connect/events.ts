// What `sidelane connect` tells, as it happens: lines for people, or with `-o json` these objects, one a line.

import type { Aftermath } from "../../control/connect/wire.ts";

export type ConnectEvent =
  /** Before each attempt. */
  | { readonly event: "connecting"; readonly control: string }
  /** The table leads here now; sidecars are being told. `again`: it was so before. */
  | {
      readonly event: "connected";
      readonly control: string;
      readonly replica: string;
      readonly as: string;
      readonly sandbox: string;
      readonly key: string;
      readonly temporary: boolean;
      readonly again: boolean;
      readonly services: readonly ConnectedTarget[];
    }
  /** The local app of a service begins or ceases to take connections. */
  | {
      readonly event: "app";
      readonly service: string;
      readonly local: string;
      readonly reachable: boolean;
      readonly problem: string;
    }
  /** What the sidecars, or the probes of the sandbox, still lack. */
  | { readonly event: "waiting"; readonly message: string }
  /** All sidecars send requests with this key here, and a probe came through. */
  | { readonly event: "ready"; readonly key: string; readonly message: string }
  /** Of sidecars, since the beginning; whenever they have changed, at most every two seconds. */
  | { readonly event: "connections"; readonly services: readonly TargetCounts[] }
  /** Tried again after `retryInMs`. */
  | { readonly event: "disconnected"; readonly why: string; readonly retryInMs: number; readonly graceLeftMs: number }
  /** Ctrl-C: what runs is waited for. */
  | { readonly event: "leaving"; readonly running: number }
  /** The end, by Ctrl-C. */
  | {
      readonly event: "left";
      readonly services: readonly { readonly service: string; readonly answeredBy: Aftermath }[];
      readonly problem: string;
    };

export interface ConnectedTarget {
  readonly service: string;
  readonly local: string;
  /** Where sidecars send requests. */
  readonly endpoint: string;
  /** Who answers without us. */
  readonly otherwise: Aftermath;
  /** "" when the local app takes connections. */
  readonly problem: string;
}

export interface TargetCounts {
  readonly service: string;
  readonly open: number;
  readonly total: number;
  /** Refused by the local app. */
  readonly failed: number;
}
