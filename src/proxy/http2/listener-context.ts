// What the HTTP/2 connections of one listener share: the listener's own things, seen the way HTTP/2 needs them.
import type { Limits, Timeouts } from "../../base/limits.ts";
import type { FailureReason } from "../../base/reasons.ts";
import type { ListenerConfig } from "../../config/proxy-config.ts";
import type { WatchList } from "../../protocol/context/request-view.ts";
import { FieldTable } from "../../protocol/field-table.ts";
import type { BlockLimits } from "../../protocol/hpack/decoder.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import { StaticFields } from "../../protocol/hpack/static-fields.ts";
import { http2Fields } from "../../protocol/http2/field-ids.ts";
import type { Decision } from "../../routing/decide.ts";
import type { AccessLog } from "../../telemetry/access-log.ts";
import type { RouteStats, Telemetry } from "../../telemetry/metrics.ts";
import type { SpanRecorder } from "../../telemetry/spans/recorder.ts";
import type { Connection } from "../connection.ts";
import type { ListenerContext } from "../http1/listener-context.ts";
import type { Protocol, Router } from "../router.ts";
import { ownField } from "../../protocol/http2/own-field.ts";
import type { Wire } from "../wire.ts";
import type { Http2Listener } from "./downstream.ts";

/** The listener, for its HTTP/2 connections. */
export class Http2ListenerContext implements Http2Listener {
  readonly config: ListenerConfig;
  readonly limits: Limits;
  readonly timeouts: Timeouts;
  readonly telemetry: Telemetry;
  readonly accessLog: AccessLog | undefined;
  readonly router: Router;
  readonly statics: StaticFields;
  readonly blockLimits: BlockLimits;
  readonly via: Field;
  readonly viaToken: Uint8Array;
  readonly spans: SpanRecorder | undefined;
  readonly watch: WatchList;
  readonly namesClients: boolean;
  connectProtocol = false;
  readonly #listener: ListenerContext;

  /** @param token what this listener calls itself in Via. */
  constructor(listener: ListenerContext, router: Router, token: string) {
    this.#listener = listener;
    this.config = listener.config;
    this.limits = listener.limits;
    this.timeouts = listener.timeouts;
    this.telemetry = listener.telemetry;
    this.accessLog = listener.accessLog;
    this.router = router;
    this.viaToken = listener.viaToken;
    this.via = ownField("via", `2.0 ${token}`);
    this.spans = listener.spans;
    this.watch = listener.watch;
    this.namesClients = listener.namesClients;
    this.statics = new StaticFields(new FieldTable(listener.watch.names, http2Fields));
    this.blockLimits = { listBytesMax: this.limits.headBytesMax, countMax: this.limits.headerCountMax };
  }

  get draining(): boolean {
    return this.#listener.draining;
  }

  get ending(): boolean {
    return this.#listener.ending;
  }

  trusts(wire: Wire): boolean {
    return this.#listener.trusts(wire);
  }

  failureStats(
    decision: Decision | undefined,
    reason: FailureReason | Decision["reason"],
    protocol: Protocol,
  ): RouteStats {
    return this.#listener.failureStats(decision, reason, protocol);
  }

  remove(connection: Connection): void {
    this.#listener.remove(connection);
  }
}
