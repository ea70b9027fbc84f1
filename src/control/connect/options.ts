import type { Log } from "../../base/log.ts";
import type { ControlState } from "../state.ts";
import type { Writer } from "../writer.ts";
import type { KeepAliveTimes } from "./keep-alive.ts";

/** What the sessions of a replica need from the process around them. */
export interface ConnectOptions {
  readonly state: ControlState;
  readonly writer: Pick<Writer, "write">;
  /** Id of this replica, as in `ReplicaRecord`. */
  readonly replica: string;
  /** `connect` of the config. */
  readonly host: string;
  readonly ports: { readonly first: number; readonly last: number };
  readonly log: Log;
  readonly sessionsMax: number;
  /** A lost connection may take this long to come back. */
  readonly graceMs: number;
  /** Services, sandboxes and groups together, for `--create`. */
  readonly resourcesMax?: number | undefined;
  /** Connections of sidecars to one session; default 256. */
  readonly sessionConnectionsMax?: number | undefined;
  /** To all sessions together; default 2048. */
  readonly connectionsMax?: number | undefined;
  /** How long a connection waits for a machine that may come back; default 5 s. */
  readonly heldMs?: number | undefined;
  readonly keepAlive?: KeepAliveTimes | undefined;
  /** Between two looks whether a machine's credentials are still good; default 30 s. */
  readonly authoriseMs?: number | undefined;
}

/** A session, for people and metrics. */
export interface SessionInfo {
  readonly sandbox: string;
  readonly targets: readonly string[];
  readonly endpoints: readonly string[];
  readonly by: string;
  readonly machine: string;
  /** False: it has lost its connection and may come back. */
  readonly connected: boolean;
  /** Connections of sidecars now, and since it began. */
  readonly connections: number;
  readonly connectionsTotal: number;
}
