// Answers of Sidelane's own (DESIGN §3.5): problem details (RFC 9457) that say what happened, where, and what to do. They
// carry `server: sidelane`, so that nobody takes them for the app's.
import { type Reason, reasonInfo } from "../../base/reasons.ts";
import { type AnswerContext, problemBody } from "../problem.ts";

const STATUS_TEXTS: Readonly<Record<number, string>> = {
  200: "OK",
  400: "Bad Request",
  403: "Forbidden",
  405: "Method Not Allowed",
  408: "Request Timeout",
  414: "URI Too Long",
  417: "Expectation Failed",
  421: "Misdirected Request",
  424: "Failed Dependency",
  431: "Request Header Fields Too Large",
  501: "Not Implemented",
  502: "Bad Gateway",
  503: "Service Unavailable",
  504: "Gateway Timeout",
  505: "HTTP Version Not Supported",
  508: "Loop Detected",
};

/**
 * The bytes of a whole answer.
 *
 * @param toHead the request was HEAD: the same fields, no body (RFC 9110 §9.3.2).
 * @param connection "close", "keep-alive" (to HTTP/1.0 clients that asked for it) or "" to say nothing.
 * @param extra whole lines to add, e.g. `x-sidelane-route`.
 */
export function answerBytes(
  reason: Reason,
  context: AnswerContext,
  toHead: boolean,
  connection: "close" | "keep-alive" | "",
  extra: Uint8Array | undefined,
): Uint8Array {
  const info = reasonInfo(reason);
  const encoded = new TextEncoder().encode(problemBody(reason, context));
  const lines = [
    `HTTP/1.1 ${info.status} ${STATUS_TEXTS[info.status] ?? "Unknown"}`,
    "server: sidelane",
    ...(info.status === 200 ? [] : ["content-type: application/problem+json"]),
    `content-length: ${encoded.length}`,
    "cache-control: no-store",
    ...(info.status === 405 ? ["allow:"] : []),
    ...(info.status === 503 && info.source === "sidelane" ? ["retry-after: 1"] : []),
    ...(connection === "" ? [] : [`connection: ${connection}`]),
  ];
  const head = new TextEncoder().encode(`${lines.join("\r\n")}\r\n`);
  const extraLength = extra?.length ?? 0;
  const bytes = new Uint8Array(head.length + extraLength + 2 + (toHead ? 0 : encoded.length));
  bytes.set(head);
  if (extra !== undefined) bytes.set(extra, head.length);
  bytes.set([0x0d, 0x0a], head.length + extraLength);
  if (!toHead) bytes.set(encoded, head.length + extraLength + 2);
  return bytes;
}
