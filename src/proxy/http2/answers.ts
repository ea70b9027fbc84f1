// Answers of Sidelane's own over HTTP/2 (DESIGN §3.5): problem details (RFC 9457), and to gRPC callers a trailers-only answer
// with the status that their library understands. Both carry `server: sidelane`.
import { type Reason, reasonInfo } from "../../base/reasons.ts";
import { encodeGrpcMessage } from "../../protocol/grpc/message.ts";
import type { Field } from "../../protocol/hpack/field.ts";
import { ownField } from "../../protocol/http2/own-field.ts";
import { type AnswerContext, problemBody, problemText } from "../problem.ts";

/** An answer that is a head and perhaps a body. */
export interface Answer {
  readonly fields: Field[];
  readonly body: Uint8Array;
}

const NO_BYTES = new Uint8Array(0);

/** @param toHead the request was HEAD: the same fields, no body (RFC 9110 §9.3.2). */
export function answerOf(reason: Reason, context: AnswerContext, toHead: boolean, toGrpc: boolean): Answer {
  const info = reasonInfo(reason);
  if (toGrpc) {
    return {
      fields: fieldsOf([
        [":status", "200"],
        ["server", "sidelane"],
        ["content-type", "application/grpc"],
        ["grpc-status", String(info.grpcStatus)],
        ["grpc-message", encodeGrpcMessage(`${reason}: ${problemText(reason, context.detail)}`)],
      ]),
      body: NO_BYTES,
    };
  }
  const body = new TextEncoder().encode(problemBody(reason, context));
  return {
    fields: fieldsOf([
      [":status", String(info.status)],
      ["server", "sidelane"],
      ...(body.length === 0 ? [] : ([["content-type", "application/problem+json"]] as const)),
      ["content-length", String(body.length)],
      ["cache-control", "no-store"],
      ...(info.status === 405 ? ([["allow", ""]] as const) : []),
      ...(info.status === 503 && info.source === "sidelane" ? ([["retry-after", "1"]] as const) : []),
    ]),
    body: toHead ? NO_BYTES : body,
  };
}

function fieldsOf(pairs: readonly (readonly [name: string, value: string])[]): Field[] {
  return pairs.map(([name, value]) => ownField(name, value));
}
