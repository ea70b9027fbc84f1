import { type DestinationStream, type Logger, pino, stdTimeFunctions } from "pino";
import type { Log, LogFields } from "../base/log.ts";
import { safeLine } from "./safe-line.ts";

/** From chatty to mute. */
export const LOG_LEVELS = ["debug", "info", "warn", "error", "silent"] as const;
/** One of `LOG_LEVELS`; lines below it are not written. */
export type LogLevel = (typeof LOG_LEVELS)[number];

/** How the process log is set up. */
export interface ProcessLogOptions {
  /** Default `info`. */
  readonly level?: LogLevel;
  /** Fields of every line, as service or worker number. */
  readonly fields?: LogFields;
  /** Where lines go; default is standard error, written at once, so that the last words before a crash are there. */
  readonly destination?: DestinationStream;
}

const STDERR = 2;

/**
 * The structured process log: one JSON object per line with `level`, `timestamp` (ISO 8601, UTC), the fields, `message`.
 * Writes block, hence never on the request path.
 */
export class ProcessLog implements Log {
  readonly #logger: Logger;

  constructor(options: ProcessLogOptions = {}) {
    this.#logger = pino(
      {
        level: options.level ?? "info",
        base: { ...options.fields },
        messageKey: "message",
        timestamp: () => stdTimeFunctions.isoTime().replace('"time"', '"timestamp"'),
        formatters: { level: (label) => ({ level: label }) },
        hooks: { streamWrite: safeLine },
      },
      options.destination ?? pino.destination({ dest: STDERR, sync: true }),
    );
  }

  /** The level; may be set at any time. */
  get level(): LogLevel {
    return LOG_LEVELS.find((level) => level === this.#logger.level) ?? "info";
  }

  set level(level: LogLevel) {
    this.#logger.level = level;
  }

  debug(message: string, fields: LogFields = {}): void {
    this.#logger.debug(fields, message);
  }

  info(message: string, fields: LogFields = {}): void {
    this.#logger.info(fields, message);
  }

  warn(message: string, fields: LogFields = {}): void {
    this.#logger.warn(fields, message);
  }

  error(message: string, fields: LogFields = {}): void {
    this.#logger.error(fields, message);
  }
}
