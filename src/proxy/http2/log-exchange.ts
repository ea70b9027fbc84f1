// Access log lines of HTTP/2. The strings are made only for exchanges while the log is on.
import { type Reason, reasonInfo } from "../../base/reasons.ts";
import { textOf } from "../../protocol/bytes.ts";
import { WATCHED } from "../../protocol/field-table.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import type { Http2RequestHead } from "../../protocol/http2/request-head.ts";
import type { Router } from "../router.ts";
import type { Http2Listener } from "./downstream.ts";
import type { Http2Exchange } from "./exchange.ts";

/** What a line says about the request; taken while its head is there. */
export interface LoggedRequest {
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly key: string;
  readonly traceId: string;
  readonly userAgent: string;
}

/** Takes the strings of a line from the request head; `firstLogged` is the index of the first watched field of the log. */
export function describeRequest(head: Http2RequestHead, router: Router, firstLogged: number): LoggedRequest {
  return {
    method: valueText(head.method),
    host: textOf(head.hostBytes, head.hostNameStart, head.hostNameEnd),
    path: valueText(head.path),
    key: router.keyFound ? new TextDecoder().decode(router.key.bytes.subarray(router.key.start, router.key.end)) : "",
    userAgent: watchedText(head, firstLogged),
    traceId: /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(watchedText(head, firstLogged + 1))?.[1] ?? "",
  };
}

function watchedText(head: Http2RequestHead, index: number): string {
  for (let w = 0; w < head.watchedCount; w++) {
    if (head.watched[w]?.kind === WATCHED + index) return valueText(head.watched[w]);
  }
  return "";
}

function valueText(field: Field | undefined): string {
  return field === undefined ? "" : textOf(field.bytes, field.valueStart, field.valueEnd);
}

/** Writes the line of a request that was refused before it became an exchange. */
export function logRefusal(listener: Http2Listener, client: string, reason: Reason, toGrpc: boolean): void {
  const { status, grpcStatus } = reasonInfo(reason);
  listener.accessLog?.write({
    listener: listener.config.name,
    direction: listener.config.direction,
    client,
    method: "",
    host: "",
    path: "",
    protocol: "HTTP/2",
    service: "",
    key: "",
    destination: "",
    reason,
    status: toGrpc ? 200 : status,
    ...(toGrpc ? { grpcStatus } : {}),
    endpoint: "",
    requestBytes: 0,
    responseBytes: 0,
    durationMs: 0,
    traceId: "",
    userAgent: "",
  });
}

/** Writes the line of a finished exchange. */
export function logExchange(
  listener: Http2Listener,
  exchange: Http2Exchange,
  reason: Reason,
  status: number,
  durationMs: number,
): void {
  const { decision } = exchange.route;
  const { logged } = exchange;
  listener.accessLog?.write({
    listener: listener.config.name,
    direction: listener.config.direction,
    client: exchange.downstream.peerName,
    method: logged?.method ?? "",
    host: logged?.host ?? "",
    path: logged?.path ?? "",
    protocol: "HTTP/2",
    service: decision.service,
    key: logged?.key ?? "",
    destination: decision.destination,
    reason,
    status,
    ...(exchange.isGrpc ? { grpcStatus: exchange.grpcStatus } : {}),
    endpoint: exchange.endpoint?.name ?? "",
    requestBytes: exchange.requestBodyBytes,
    responseBytes: exchange.responseBodyBytes,
    durationMs,
    ...(exchange.waitedMs < 0 ? {} : { connectMs: exchange.waitedMs }),
    traceId: logged?.traceId ?? "",
    userAgent: logged?.userAgent ?? "",
  });
}
