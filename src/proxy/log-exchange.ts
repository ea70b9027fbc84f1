// Access log lines. The strings are made only for exchanges while the log is on.
import type { Reason } from "../base/reasons.ts";
import type { ListenerConfig } from "../config/proxy-config.ts";
import { textOf } from "../protocol/bytes.ts";
import type { RequestView, WatchList } from "../protocol/context/request-view.ts";
import type { AccessLog, AccessLogEntry } from "../telemetry/access-log.ts";
import type { ExchangeBase } from "./exchange.ts";
import type { Route } from "./router.ts";
import type { Tenant } from "./tenancy/tenant.ts";

/** What a line says about the request; taken while its bytes are there. */
export interface LoggedRequest {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly protocol: string;
  readonly key: string;
  readonly traceId: string;
  readonly userAgent: string;
}

/** Fields that are watched for the log. */
export const loggedFields: readonly string[] = ["user-agent", "traceparent"];

/** Where lines go, and whose they are. */
export interface LineSource {
  readonly config: ListenerConfig;
  readonly accessLog: AccessLog | undefined;
}

const NOTHING = {
  method: "",
  host: "",
  path: "",
  protocol: "",
  service: "",
  key: "",
  destination: "",
  endpoint: "",
  requestBytes: 0,
  responseBytes: 0,
  durationMs: 0,
  traceId: "",
  userAgent: "",
} satisfies Partial<AccessLogEntry>;

/** Takes the strings of a line from the request. */
export function describeRequest(
  view: RequestView,
  watch: WatchList,
  { keyToShow: key, hidesQuery }: Tenant,
): LoggedRequest {
  const target = textOf(view.targetBytes, view.targetStart, view.targetEnd);
  return {
    method: textOf(view.methodBytes, view.methodStart, view.methodEnd),
    host: view.hostEnd > view.hostStart ? textOf(view.hostBytes, view.hostStart, view.hostEnd) : "",
    path: hidesQuery ? target.replace(/\?.*/, "?") : target,
    protocol: view.protocol,
    key: key === undefined ? "" : new TextDecoder().decode(key.bytes.subarray(key.start, key.end)),
    userAgent: watchedText(view, watch, "user-agent"),
    traceId: /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(watchedText(view, watch, "traceparent"))?.[1] ?? "",
  };
}

function watchedText(view: RequestView, watch: WatchList, name: string): string {
  const at = view.indexOf(watch.numberOf(name));
  return at === -1 ? "" : textOf(view.sources[at] as Uint8Array, view.starts[at] as number, view.ends[at] as number);
}

/**
 * Writes the line of something that never became an exchange of requests, or has none.
 *
 * @param line what is known about it.
 */
export function logLine(
  { config, accessLog }: LineSource,
  line: Partial<AccessLogEntry> & Pick<AccessLogEntry, "client" | "reason" | "status">,
): void {
  accessLog?.write({ ...NOTHING, listener: config.name, direction: config.direction, ...line });
}

/** Writes the line of a finished exchange. */
export function logExchange(
  source: LineSource,
  exchange: ExchangeBase,
  { decision }: Route,
  reason: Reason,
  status: number,
  durationMs: number,
): void {
  logLine(source, {
    client: exchange.client,
    ...exchange.logged,
    service: decision.service,
    destination: decision.destination,
    reason,
    status,
    ...(exchange.isGrpc ? { grpcStatus: exchange.grpcStatus } : {}),
    endpoint: exchange.endpoint?.name ?? "",
    requestBytes: exchange.requestBodyBytes,
    responseBytes: exchange.responseBodyBytes,
    durationMs,
    ...(exchange.waitedMs < 0 ? {} : { connectMs: exchange.waitedMs }),
  });
}
