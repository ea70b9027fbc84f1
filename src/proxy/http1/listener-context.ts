// What a listener and its HTTP/1.1 connections have in common.
import type { Limits, Timeouts } from "../../base/limits.ts";
import type { FailureReason } from "../../base/reasons.ts";
import type { ListenerConfig } from "../../config/proxy-config.ts";
import type { WatchList } from "../../protocol/context/request-view.ts";
import type { FieldTable } from "../../protocol/field-table.ts";
import type { Decision } from "../../routing/decide.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { RouteStats, Telemetry } from "../../telemetry/metrics.ts";
import type { SpanRecorder } from "../../telemetry/spans/recorder.ts";
import type { Connection } from "../connection.ts";
import type { Protocol, Router } from "../router.ts";
import type { Wire } from "../wire.ts";

/** What the connections of one listener share. */
export interface ListenerContext {
  readonly config: ListenerConfig;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly router: Router;
  readonly fields: FieldTable;
  /** The line `via: 1.1 <token>` with its line end, and the token alone: by it a loop is recognised. */
  readonly via: Uint8Array;
  readonly viaToken: Uint8Array;
  readonly telemetry: Telemetry;
  readonly accessLog: AccessLog | undefined;
  readonly spans: SpanRecorder | undefined;
  /** Names of fields that trailers of requests must not have: where a key may be, it would come in by the back door. */
  readonly forbiddenTrailers: readonly Uint8Array[];
  /** The fields that somebody wants to see. */
  readonly watch: WatchList;
  /** Address and port of clients are wanted for log or spans. */
  readonly namesClients: boolean;
  /** Whether the edge takes whoever is at the other end at its word. */
  trusts(wire: Wire): boolean;
  /** No further requests on kept-alive connections. */
  readonly draining: boolean;
  /** Every connection ends with its present exchange, announced or not. */
  readonly ending: boolean;
  failureStats(
    decision: Decision | undefined,
    reason: FailureReason | Decision["reason"],
    protocol: Protocol,
  ): RouteStats;
  /** The connection is gone. */
  remove(connection: Connection): void;
}
