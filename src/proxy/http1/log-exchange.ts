// Access log lines. The strings are made only for exchanges while the log is on.
import type { Reason } from "../../base/reasons.ts";
import { textOf } from "../../protocol/bytes.ts";
import { fieldIds } from "../../protocol/http1/field-ids.ts";
import type { RequestHead } from "../../protocol/http1/request-head.ts";
import type { Router } from "../router.ts";
import type { Http1Downstream } from "./downstream.ts";
import type { ListenerContext } from "./listener-context.ts";
import type { Exchange } from "./exchange.ts";

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

/** Fields that the parser watches for the log, behind the carriers. */
export const loggedFields = ["user-agent", "traceparent"] as const;

/** Takes the strings of a line from the request head; `firstLogged` is the field id of the first of `loggedFields`. */
export function describeRequest(
  head: RequestHead,
  bytes: Uint8Array,
  router: Router,
  firstLogged: number,
): LoggedRequest {
  return {
    method: textOf(bytes, head.start, head.methodEnd),
    host: head.hostNameStart === -1 ? "" : textOf(bytes, head.hostNameStart, head.hostNameEnd),
    path: textOf(bytes, head.targetStart, head.targetEnd),
    protocol: `HTTP/1.${head.minor}`,
    key: router.keyFound ? new TextDecoder().decode(router.key.bytes.subarray(router.key.start, router.key.end)) : "",
    userAgent: watchedText(head, bytes, firstLogged),
    traceId: /^[0-9a-f]{2}-([0-9a-f]{32})-/.exec(watchedText(head, bytes, firstLogged + 1))?.[1] ?? "",
  };
}

function watchedText(head: RequestHead, bytes: Uint8Array, id: number): string {
  if (id < fieldIds.watched) return "";
  for (let w = 0; w < head.watchedCount; w++) {
    if (head.watched[w * 3] === id) {
      return textOf(bytes, head.watched[w * 3 + 1] as number, head.watched[w * 3 + 2] as number);
    }
  }
  return "";
}

/** Writes the line of a request that was refused before it became an exchange: it may not even have a method. */
export function logRefusal(listener: ListenerContext, client: string, reason: Reason, status: number): void {
  listener.accessLog?.write({
    listener: listener.config.name,
    direction: listener.config.direction,
    client,
    method: "",
    host: "",
    path: "",
    protocol: "",
    service: "",
    key: "",
    destination: "",
    reason,
    status,
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
  listener: ListenerContext,
  exchange: Exchange,
  downstream: Http1Downstream,
  reason: Reason,
  status: number,
  durationMs: number,
): void {
  const decision = exchange.route?.decision;
  listener.accessLog?.write({
    listener: listener.config.name,
    direction: listener.config.direction,
    client: downstream.peer,
    method: exchange.logged?.method ?? "",
    host: exchange.logged?.host ?? "",
    path: exchange.logged?.path ?? "",
    protocol: exchange.logged?.protocol ?? "",
    service: decision?.service ?? "",
    key: exchange.logged?.key ?? "",
    destination: decision?.destination ?? "",
    reason,
    status,
    endpoint: exchange.endpoint?.name ?? "",
    requestBytes: exchange.requestBodyBytes,
    responseBytes: exchange.responseBodyBytes,
    durationMs,
    ...(exchange.waitedMs < 0 ? {} : { connectMs: exchange.waitedMs }),
    traceId: exchange.logged?.traceId ?? "",
    userAgent: exchange.logged?.userAgent ?? "",
  });
}
