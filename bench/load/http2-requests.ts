// The HTTP/2 requests of the bench: the same fields as in requests.ts, and what gRPC adds.

import { Buffer } from "node:buffer";
import type { Destination } from "./requests.ts";

/** What an HTTP/2 backend answers with; see http2-backend.ts. */
export type Http2BackendKind = "small" | "grpc" | "bodies";

/** The body of `bodies`, both ways. */
export const largeBodyBytes = 2 ** 20;

export const authority = "checkout.shop.svc.cluster.local";
export const path = "/api/v1/orders/4711?expand=lines,customer";

/** The fields besides the pseudo ones: those of `requestHead`, in lower case (RFC 9113 §8.2). */
export const requestFields: readonly (readonly [name: string, value: string])[] = [
  ["user-agent", "storefront/3.14.1 (linux; node v24)"],
  ["accept", "application/json, text/plain;q=0.9"],
  ["accept-encoding", "gzip, br"],
  ["accept-language", "en-GB,en;q=0.8"],
  ["authorization", "Bearer eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJjdXN0b21lci00NzExIn0.c2lnbmF0dXJl"],
  ["x-request-id", "5f0c3b52-2c1d-4b8e-9f0a-6d1d0e7f4a11"],
  ["x-forwarded-for", "203.0.113.17"],
  ["x-forwarded-proto", "https"],
  ["traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"],
  ["tracestate", "vendor=t61rcWkgMzE,other=00f067aa0ba902b7"],
];

export const grpcPath = "/shop.v1.Orders/GetOrder";

/** A length-prefixed message (gRPC over HTTP/2): one byte of flags, four of length, and so many bytes. */
export function grpcMessage(payload: Buffer): Buffer {
  const message = Buffer.alloc(5 + payload.length);
  message.writeUInt32BE(payload.length, 1);
  payload.copy(message, 5);
  return message;
}

/** 64 bytes: an identifier, a tenant and a field mask, say. */
export const grpcQuestion: Buffer = grpcMessage(Buffer.alloc(64, "question "));

/** 128 bytes. */
export function grpcAnswer(destination: Destination): Buffer {
  return grpcMessage(Buffer.alloc(128, `${destination.padEnd(8, "-")} `));
}
