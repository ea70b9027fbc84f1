// All that the API needs from the process around it, so that it runs in a test without sidecars, a store or other replicas.

import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { ControlLimits } from "../../config/control-config.ts";
import type { InternalRoute } from "../internal-routes.ts";
import type { Authority, Identity } from "../auth.ts";
import type { AuditEntry } from "../resource.ts";
import type { ControlState } from "../state.ts";
import type { Writer } from "../writer.ts";

/** What can be said about a sandbox in one respect. */
export interface Condition {
  /** `Ready`, `Applied`, `Answered`, `Expiring`, `Connected`. */
  readonly type: string;
  readonly status: "true" | "false" | "unknown";
  /** One word in CamelCase: for programs. */
  readonly reason: string;
  /** A sentence: for people; says which sidecar or endpoint is behind, and why. */
  readonly message: string;
  /** ISO 8601: since when the status is what it is. */
  readonly since: string;
}

/** What goes on with a sandbox. JSON as it is: `status` of a sandbox in answers. */
export interface SandboxStatus {
  readonly conditions: readonly Condition[];
  /** ISO 8601; absent: it does not expire. */
  readonly expiresAt?: string | undefined;
  /** ISO 8601; absent: none was seen. */
  readonly lastTrafficAt?: string | undefined;
}

/** What somebody who waits is told. JSON as it is. */
export type WaitEvent =
  /** Each time when something has changed, and once at the beginning. */
  | { readonly kind: "progress"; readonly status: SandboxStatus }
  /** The last one. `reached`: what was waited for is so; otherwise the time was up, or it cannot come to pass any more. */
  | { readonly kind: "done"; readonly reached: boolean; readonly message: string; readonly status: SandboxStatus };

/** A sidecar as `GET /v1/sidecars` tells it. JSON as it is. */
export type SidecarReport = object;

/** What replicas answered together. */
export interface Gathered<T> {
  readonly items: readonly T[];
  /** Replicas that did not answer: the answer lacks what they know. */
  readonly missing: readonly { readonly replica: string; readonly why: string }[];
}

/** The parts of the process; methods answer from memory unless they return a promise. */
export interface ApiBackend {
  /** Version of Sidelane. */
  readonly version: string;
  /** Id of this replica. */
  readonly replica: string;
  readonly state: ControlState;
  readonly writer: Pick<Writer, "write">;
  readonly authority: Authority;
  readonly limits: Pick<ControlLimits, "bodyBytesMax" | "connectionsMax" | "waitsMax" | "resourcesMax">;
  /** `name` and `source` as in `Store`; `audit` throws `StoreUnavailableError`. */
  readonly store: {
    readonly name: string;
    readonly source: string;
    audit(query: {
      readonly kind?: string;
      readonly name?: string;
      readonly limit: number;
    }): Promise<readonly AuditEntry[]>;
  };
  /** Asked for each sandbox of a list, so it has to be cheap. Undefined: nothing is known yet. */
  status(sandbox: string): SandboxStatus | undefined;
  /** The same for one sandbox, after what has to be asked first was asked, for a second at most. Absent: as `status`. */
  statusSoon?(sandbox: string): Promise<SandboxStatus | undefined>;
  /** Ends with `done`, or when `signal` is aborted. Waiting for a sandbox that does not exist to be gone ends at once. */
  wait(sandbox: string, what: "ready" | "deleted", withinMs: number, signal: AbortSignal): AsyncIterable<WaitEvent>;
  /** Sidecars of this replica, or of all; a replica that asks (`Identity.replica`) gets those of this one. */
  sidecars(everywhere: boolean): Promise<Gathered<SidecarReport>>;
  /** What the sidecars' journals say about one trace; the shape is that of `JournalAnswer`, one for each sidecar. */
  trace(id: string, everywhere: boolean): Promise<Gathered<object>>;
  /** Prometheus text exposition. */
  metrics(): Promise<string>;
  /** Empty: ready. One sentence each otherwise. */
  notReady(): readonly string[];
  /** What other replicas may ask, and nobody else. */
  readonly internal: readonly InternalRoute[];
  /** `GET /v1/connect` with `Upgrade: websocket`, from an editor. Owns the socket from here on, as long as `mayStay` says so. */
  connect(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    identity: Identity,
    mayStay: () => boolean | Promise<boolean>,
  ): void;
}
