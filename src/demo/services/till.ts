import http from "node:http";
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";

/**
 * An old till. Somebody taught it to pass the trace on, by hand, and nobody thought of baggage: whatever a request's routing
 * key says, what the till asks of checkout has none.
 */
export async function till(
  { url = "/", headers: { traceparent } }: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const headers = typeof traceparent === "string" ? { traceparent } : {};
  http.get(`http://checkout${url}`, { headers, agent: http.globalAgent }, resolve).on("error", reject);
  const answer = await promise;
  response.writeHead(answer.statusCode ?? 502, { "content-type": answer.headers["content-type"] ?? "text/plain" });
  await pipeline(answer, response);
}
