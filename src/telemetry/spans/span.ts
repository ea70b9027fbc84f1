// What is known about one proxied request whose trace is sampled. Plain values, so that it goes to the exporting process as
// it is; what OpenTelemetry calls them is that process's business (readable-span.ts).
import type { Reason } from "../../base/reasons.ts";
import type { Direction } from "../metrics.ts";

/** What a request says about itself; taken while its head is there. Text as received, or decoded. */
export interface SpanRequest {
  readonly direction: Direction;
  readonly method: string;
  readonly scheme: "http" | "https";
  /** Host and port that the client asked for, "" and -1 where it named none. */
  readonly host: string;
  readonly port: number;
  /** The request target as received; its query does not get into the span. */
  readonly target: string;
  /** `1.0`, `1.1` or `2`. */
  readonly protocolVersion: string;
  /** `address:port` of the peer that sent it. */
  readonly client: string;
  /** The routing key, "" without. */
  readonly key: string;
  readonly userAgent: string;
  readonly isGrpc: boolean;
}

/** How it ended. */
export interface SpanOutcome {
  /** The status that the client was sent; 0 when it was sent none. */
  readonly status: number;
  /** Of a gRPC call: 0 to 16, or -1 when it ended without one. Ignored for the rest. */
  readonly grpcStatus: number;
  readonly reason: Reason;
  /** Sidelane answered itself, or the exchange broke off: `reason` is why. */
  readonly failed: boolean;
  readonly service: string;
  readonly destination: string;
  readonly tableVersion: number;
  /** `host:port` of the endpoint that was asked last, "" when none was. */
  readonly endpoint: string;
  readonly requestBytes: number;
  readonly responseBytes: number;
  /** Milliseconds of the clock of `startedMs`. */
  readonly endedMs: number;
}

/** A request on its way; `id` is the parent of whatever the service does for it. */
export interface Span {
  /** The `traceparent` that the request came with. */
  readonly traceparent: string;
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** Milliseconds since the process started (`turnNowMs`). */
  readonly startedMs: number;
  readonly request: SpanRequest;
}

/** A finished one, as it goes to the exporting process. */
export interface FinishedSpan extends Span {
  /** Milliseconds since the epoch, with fractions. */
  readonly startedEpochMs: number;
  readonly outcome: SpanOutcome;
}
