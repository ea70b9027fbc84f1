/** Fields of one log line: flat, JSON-safe values. */
export type LogFields = Readonly<Record<string, string | number | boolean | undefined>>;

/** The process log as the layers see it; `telemetry/process-log.ts` writes it. Never on the request path. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

/** A log that says nothing: for tests and for commands that print their own answers. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };
