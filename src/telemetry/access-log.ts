// One JSON object per line and finished exchange. Off unless asked for. What callers may rely on: `wants` costs a
// comparison and makes no string; `write` never waits and never throws; memory is bounded by BUFFER_BYTES_MAX, and what
// does not fit is counted, not kept; no byte of a request can end a line or forge a field.
import { openSync } from "node:fs";
import { pino } from "pino";
import type { Log } from "../base/log.ts";
import type { Reason } from "../base/reasons.ts";
import type { Direction } from "./metrics.ts";
import { safeLine } from "./safe-line.ts";

/** Lines that wait for a slow disk or pipe; beyond it they are dropped and counted. */
const BUFFER_BYTES_MAX = 1024 * 1024;
/** One write to a pipe is atomic up to 4096 bytes (PIPE_BUF): workers that share stdout do not tear each other's lines. */
const WRITE_BYTES_MAX = 4096;
/** Collected before a write is worth its cost. */
const BATCH_BYTES = 3072;
/** How long a line may wait for others at most. */
const FLUSH_MS = 1000;
/** How long closing waits for a destination that does not take the rest. */
const CLOSE_MS = 1000;
/** Characters of one value. Paths and user agents may be as long as limits.headBytesMax; the log needs their beginning. */
const TEXT_MAX = 1024;

/** How the access log is set up. */
export interface AccessLogOptions {
  /** Off by default. */
  readonly enabled: boolean;
  /** The share of lines written, 0 to 1; chosen at random, errors like the rest. Default 1. */
  readonly sample?: number;
  /** Only exchanges that failed or were answered with 400 or above. Default false. */
  readonly errorsOnly?: boolean;
  /** File to append to; default is standard output. */
  readonly file?: string;
  /** Told when the destination fails and when lines were dropped; once per trouble, not once per line. */
  readonly log?: Log;
  /** Numbers in [0, 1); tests give their own. */
  readonly random?: () => number;
  /** Milliseconds since the epoch; tests give their own. */
  readonly wallMs?: () => number;
}

/** One exchange. Text as received (latin1 of the bytes, or decoded); "" where there was none. */
export interface AccessLogEntry {
  readonly listener: string;
  readonly direction: Direction;
  /** Address and port of the client. */
  readonly client: string;
  readonly method: string;
  readonly host: string;
  readonly path: string;
  readonly protocol: string;
  readonly service: string;
  /** The routing key, "" without. */
  readonly key: string;
  readonly destination: string;
  readonly reason: Reason;
  readonly status: number;
  /** Of a gRPC call: the status its caller saw, 0 to 16, or -1 when what the endpoint sent is none. Only there for gRPC. */
  readonly grpcStatus?: number;
  /** `host:port` of the endpoint that was asked last, "" when none was. */
  readonly endpoint: string;
  /** Body bytes, as counted; framing is not in it. */
  readonly requestBytes: number;
  readonly responseBytes: number;
  readonly durationMs: number;
  /** Only when the exchange had to wait for a new connection. */
  readonly connectMs?: number;
  readonly traceId: string;
  readonly userAgent: string;
}

/** Where finished exchanges are written. */
export class AccessLog {
  /** Lines that were wanted but not written: the buffer was full or the destination broken. */
  droppedLines = 0;
  readonly #sample: number;
  readonly #statusMin: number;
  readonly #random: () => number;
  readonly #wallMs: () => number;
  readonly #log: Log | undefined;
  readonly #sink: ReturnType<typeof pino.destination> | undefined;
  /** The destination does not take lines: said once, until it takes one again. */
  #inTrouble = false;
  /** False when off, after `close`, and after EPIPE, from when on the sink swallows everything in silence. */
  #accepting: boolean;

  /** Throws what `openSync` throws when the file cannot be opened for appending. */
  constructor(options: AccessLogOptions) {
    this.#sample = options.enabled ? (options.sample ?? 1) : 0;
    this.#statusMin = options.errorsOnly === true ? 400 : 0;
    this.#random = options.random ?? Math.random;
    this.#wallMs = options.wallMs ?? Date.now;
    this.#log = options.log;
    this.#sink = this.#sample > 0 ? this.#open(options.file) : undefined;
    this.#accepting = this.#sink !== undefined;
  }

  /**
   * Whether an exchange that ends with `status` is to be written: ask before making any string. Each answer draws a new lot, so ask once.
   * `failed`: it ended badly although its status does not show it, as a response that was cut off.
   */
  wants(status: number, failed = false): boolean {
    if (this.#sink === undefined) return false;
    if (status < this.#statusMin && !failed) return false;
    return this.#sample >= 1 || this.#random() < this.#sample;
  }

  /** Writes one line, or counts it as dropped. */
  write(entry: AccessLogEntry): void {
    if (this.#accepting) this.#sink?.write(accessLogLine(entry, this.#wallMs()));
    else this.droppedLines++;
  }

  /** Writes what is buffered and closes the file. Resolves at the latest after a second, when the destination takes no more. */
  async close(): Promise<void> {
    const sink = this.#sink;
    if (sink === undefined || !this.#accepting) return;
    this.#accepting = false;
    const { promise, resolve } = Promise.withResolvers<void>();
    const deadline = setTimeout(resolve, CLOSE_MS);
    sink.once("close", resolve);
    sink.once("error", () => resolve());
    sink.end();
    await promise;
    clearTimeout(deadline);
    if (this.droppedLines > 0) this.#log?.warn("access log closed", { droppedLines: this.droppedLines });
  }

  #open(file: string | undefined): ReturnType<typeof pino.destination> {
    // Opened here and at once, so that a path that does not work stops the start and is no event hours later.
    const fd = file === undefined ? 1 : openSync(file, "a", 0o640);
    const sink = pino.destination({
      dest: fd,
      sync: false,
      minLength: BATCH_BYTES,
      maxWrite: WRITE_BYTES_MAX,
      maxLength: BUFFER_BYTES_MAX,
      periodicFlush: FLUSH_MS,
    });
    sink.on("drop", () => {
      this.droppedLines++;
      this.#trouble("access log is slower than the traffic: lines are dropped");
    });
    sink.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") this.#accepting = false;
      this.#trouble("access log cannot be written", error.message);
    });
    sink.on("drain", () => {
      this.#inTrouble = false;
    });
    return sink;
  }

  #trouble(message: string, error?: string): void {
    if (this.#inTrouble) return;
    this.#inTrouble = true;
    this.#log?.warn(message, { error, droppedLines: this.droppedLines });
  }
}

/** The line of one exchange, its end included. `wallMs`: when the exchange ended. Exported for the documentation's test. */
export function accessLogLine(entry: AccessLogEntry, wallMs: number): string {
  // JSON.stringify keeps the order written here, leaves out what is undefined, and escapes quotes, controls, lone surrogates.
  const json = JSON.stringify({
    timestamp: new Date(wallMs).toISOString(),
    listener: entry.listener,
    direction: entry.direction,
    client: entry.client,
    method: shortened(entry.method),
    host: shortened(entry.host),
    path: shortened(entry.path),
    protocol: entry.protocol,
    service: shortened(entry.service),
    key: shortened(entry.key),
    destination: shortened(entry.destination),
    reason: entry.reason,
    status: entry.status,
    grpcStatus: entry.grpcStatus,
    endpoint: shortened(entry.endpoint),
    requestBytes: entry.requestBytes,
    responseBytes: entry.responseBytes,
    durationMs: rounded(entry.durationMs),
    connectMs: entry.connectMs === undefined ? undefined : rounded(entry.connectMs),
    traceId: entry.traceId,
    userAgent: shortened(entry.userAgent),
  });
  return `${safeLine(json)}\n`;
}

/** The beginning of a text that is too long, marked as such. */
function shortened(text: string): string {
  return text.length <= TEXT_MAX ? text : `${text.slice(0, TEXT_MAX)}…`;
}

/** Microseconds are enough for anyone who reads a log. */
function rounded(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
