// Spans of proxied requests whose trace is sampled. What callers may rely on: `begin` and `end` never wait and never throw;
// no more than `queuedMax` finished spans are kept, the others are counted and forgotten; OpenTelemetry is in a process of
// its own (exporter-process.ts), whose absence, death or slowness no request notices.
//
//   begin -> (rewriteTraceparent: the service's spans hang beneath ours) -> end -> queue -> every second or BATCH_SPANS -> exporter
import type { Log } from "../../base/log.ts";
import { ExporterProcess, type ExporterOptions } from "./exporter-process.ts";
import type { FinishedSpan, Span, SpanOutcome, SpanRequest } from "./span.ts";
import { SpanStats } from "./stats.ts";

/** As many as go to the exporter at once. */
const BATCH_SPANS = 512;
/** How long a finished span waits for others at most. */
const FLUSH_MS = 1000;
/** How long `close` waits for the collector; on top of `timeouts.drainMs`, and below the grace period of Kubernetes with it. */
const CLOSE_MS = 3000;
/** The wall clock was set, or has drifted away from the monotonic one, by this much: spans follow it. */
const DRIFT_MS = 5;

/** Of version 00 (W3C Trace Context §3.2). Again here, because telemetry knows nothing of protocol. */
const TRACEPARENT_BYTES = 55;

/** How spans are exported. */
export interface SpanRecorderOptions extends ExporterOptions {
  /** `limits.spansQueuedMax`. */
  readonly queuedMax: number;
  readonly log: Log;
  readonly stats?: SpanStats;
}

/** Makes the spans of one process. */
export class SpanRecorder {
  readonly stats: SpanStats;
  readonly #queuedMax: number;
  readonly #log: Log;
  readonly #exporter: ExporterProcess;
  readonly #timer: NodeJS.Timeout;
  #queue: FinishedSpan[] = [];
  #flushSoon = false;
  /** Settles when no batch is on its way. */
  #sending: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  /** What has to be added to the monotonic clock to get the time of day. */
  #epochMs = performance.timeOrigin;

  constructor(options: SpanRecorderOptions) {
    this.stats = options.stats ?? new SpanStats();
    this.#queuedMax = options.queuedMax;
    this.#log = options.log;
    this.#exporter = new ExporterProcess(options, options.log);
    this.#timer = setInterval(() => {
      this.#followWallClock();
      this.#flush();
    }, FLUSH_MS);
    this.#timer.unref();
  }

  /** The id of the exporting process, undefined while there is none. */
  get exporterPid(): number | undefined {
    return this.#exporter.pid;
  }

  /**
   * A request begins whose `traceparent`, the 55 bytes from `start` on, `isSampledTraceparent` has accepted
   * (src/protocol/context/sampled-traceparent.ts). What becomes of the object if `end` is never called: nothing.
   *
   * @param startedMs milliseconds since the process started, as `turnNowMs` says.
   */
  begin(bytes: Uint8Array, start: number, request: SpanRequest, startedMs: number): Span {
    return {
      traceparent: asciiOf(bytes, start, start + TRACEPARENT_BYTES),
      id: randomSpanId(),
      startedMs,
      request,
    };
  }

  /** It has ended; called once. */
  end(span: Span, outcome: SpanOutcome): void {
    if (this.#closing !== undefined || this.#queue.length >= this.#queuedMax) {
      this.stats.dropped++;
      return;
    }
    const { traceparent, id, startedMs, request } = span;
    this.#queue.push({ traceparent, id, startedMs, request, startedEpochMs: this.#epochMs + startedMs, outcome });
    if (this.#queue.length < BATCH_SPANS || this.#flushSoon) return;
    this.#flushSoon = true;
    // Not now: what this turn has to send to clients goes first.
    setImmediate(() => {
      this.#flushSoon = false;
      this.#flush();
    });
  }

  /** Sends what there is, and ends the exporting process; resolves after CLOSE_MS at the latest. Spans that end later are dropped. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer);
    const { promise: late, resolve: giveUp } = Promise.withResolvers<"late">();
    const deadline = setTimeout(giveUp, CLOSE_MS, "late");
    const droppedBefore = this.stats.dropped;
    await Promise.race([this.#sendRest(), late]);
    this.stats.dropped += this.#queue.length;
    this.#queue = [];
    await Promise.race([this.#exporter.end(), late]);
    // Answers for a batch that is still on its way.
    this.#exporter.kill();
    await this.#sending;
    clearTimeout(deadline);
    const lost = this.stats.dropped - droppedBefore;
    if (lost > 0) this.#log.warn("spans were lost at the end: the collector did not take them in time", { lost });
  }

  async #sendRest(): Promise<void> {
    await this.#sending;
    while (this.#queue.length > 0) {
      this.#sending = this.#send();
      await this.#sending;
    }
  }

  #flush(): void {
    if (this.#queue.length > 0 && this.#exporter.free) this.#sending = this.#sendWhileMany();
  }

  async #sendWhileMany(): Promise<void> {
    do await this.#send();
    while (this.#queue.length >= BATCH_SPANS && this.#exporter.free && this.#closing === undefined);
  }

  async #send(): Promise<void> {
    const batch = this.#queue.splice(0, BATCH_SPANS);
    if (await this.#exporter.export(batch)) this.stats.exported += batch.length;
    else this.stats.dropped += batch.length;
  }

  #followWallClock(): void {
    const driftMs = Date.now() - (this.#epochMs + performance.now());
    if (Math.abs(driftMs) > DRIFT_MS) this.#epochMs += driftMs;
  }
}

function asciiOf(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  for (let at = start; at < end; at++) text += String.fromCharCode(bytes[at] as number);
  return text;
}

/** Distinct, not secret; an id of zeros is none (W3C Trace Context §3.2.2.4). */
function randomSpanId(): string {
  const part = (least: number): string =>
    Math.floor(least + Math.random() * (2 ** 32 - least))
      .toString(16)
      .padStart(8, "0");
  return part(0) + part(1);
}
