// Status codes of gRPC, and what stands for one where a response has none
// (https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md and PROTOCOL-HTTP2.md, "Errors").
import { DIGIT_0 } from "../bytes.ts";
import { errorCodes } from "../http2/error-codes.ts";

/** The closed list of codes (google.rpc.Code). */
export const grpcStatuses = {
  OK: 0,
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** The code in a `grpc-status` field, bytes[start, end); -1 when it is none of the list, or not its plain decimal form. */
export function statusOfField(bytes: Uint8Array, start: number, end: number): number {
  const length = end - start;
  if (length !== 1 && length !== 2) return -1;
  const first = (bytes[start] as number) - DIGIT_0;
  if (length === 1) return first >= 0 && first <= 9 ? first : -1;
  const second = (bytes[start + 1] as number) - DIGIT_0;
  // Two digits begin with a 1: "07" is no status, and 16 is the last.
  return first === 1 && second >= 0 && second <= 6 ? 10 + second : -1;
}

/** What a client takes for the status of a response that ended without `grpc-status`: `status` is its HTTP status. */
export function statusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return grpcStatuses.INTERNAL;
    case 401:
      return grpcStatuses.UNAUTHENTICATED;
    case 403:
      return grpcStatuses.PERMISSION_DENIED;
    case 404:
      return grpcStatuses.UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
      return grpcStatuses.UNAVAILABLE;
    default:
      return grpcStatuses.UNKNOWN;
  }
}

/** What a client takes for the status of a stream that was reset: `code` is the error code of HTTP/2 (RFC 9113 §7). */
export function statusOfReset(code: number): number {
  switch (code) {
    case errorCodes.REFUSED_STREAM:
      return grpcStatuses.UNAVAILABLE;
    case errorCodes.CANCEL:
      return grpcStatuses.CANCELLED;
    case errorCodes.ENHANCE_YOUR_CALM:
      return grpcStatuses.RESOURCE_EXHAUSTED;
    case errorCodes.INADEQUATE_SECURITY:
      return grpcStatuses.PERMISSION_DENIED;
    default:
      return grpcStatuses.INTERNAL;
  }
}
