import type { Log, LogFields } from "../base/log.ts";
import type { CompiledTable } from "../routing/compiled-table.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { TableReloadResult } from "../telemetry/metrics.ts";
import type { TableError, TableErrorKind, TableStatus } from "./status.ts";

/** Problems or warnings of one file that get a log line each; `status()` has all. */
const LOG_LINES_MAX = 20;

/** Whom a `ReloadRecord` tells. */
export interface ReloadRecordDeps {
  readonly cell: TableCell;
  readonly log: Log;
  /** After every attempt, status and cell up to date. A failure that was told before is no new attempt. */
  readonly onReload: (result: TableReloadResult) => void;
  /** False: warnings are for somebody else, who has seen them; `status()` has them all the same. */
  readonly logWarnings?: boolean;
  /** Milliseconds since the epoch. */
  readonly nowMs: () => number;
}

/** What happened to a table source so far: publishes what is good, and tells each distinct failure once, however often it is met. */
export class ReloadRecord {
  readonly #source: string;
  readonly #deps: ReloadRecordDeps;
  #loadedAtMs: number | undefined = undefined;
  #lastAttemptAtMs: number | undefined = undefined;
  #lastError: TableError | undefined = undefined;
  #warnings: readonly string[] = [];
  #digestRefused = "";

  constructor(source: string, deps: ReloadRecordDeps) {
    this.#source = source;
    this.#deps = deps;
  }

  /** Digests of contents that need no second look: the one in use, and the one that `lastError` is about. */
  get knownDigests(): readonly string[] {
    return [this.#deps.cell.current.digest, this.#digestRefused];
  }

  /** The source is being looked at. */
  attempted(): void {
    this.#lastAttemptAtMs = this.#deps.nowMs();
  }

  /** Makes the table the current one. `fields`: what else the log says of it. */
  publish(table: CompiledTable, warnings: readonly string[], tookMs: number, fields: LogFields = {}): void {
    const { cell, log, nowMs } = this.#deps;
    this.#loadedAtMs = nowMs();
    this.#warnings = warnings;
    this.#clearError();
    try {
      cell.publish(table);
    } catch (error) {
      // The table is in use all the same; a listener that cannot follow is not the table's fault.
      log.error("a listener failed on a new table", { version: table.version, error: String(error) });
    }
    const { version, digest, counts } = table;
    const about = { source: this.#source, ...fields };
    log.info("table in use", { ...about, version, digest, ...counts, warnings: warnings.length, tookMs });
    if (this.#deps.logWarnings !== false) this.#logLines(warnings, (line) => log.warn(line, { source: this.#source }));
    this.#deps.onReload("applied");
  }

  /** The source was read and has the content in use. */
  unchanged(): void {
    const { version, digest } = this.#deps.cell.current;
    if (this.#lastError !== undefined) {
      this.#deps.log.info("table source has the content in use again", { source: this.#source, version, digest });
    }
    this.#clearError();
    this.#deps.onReload("unchanged");
  }

  /** The source could not be used; `problems` and the content's `digest` when it was read and is no valid table. */
  fail(kind: TableErrorKind, message: string, problems: readonly string[] = [], digest = ""): void {
    const { cell, log, nowMs, onReload } = this.#deps;
    const last = this.#lastError;
    if (last?.kind === kind && last.message === message && this.#digestRefused === digest) return;
    this.#lastError = { kind, message, problems, sinceMs: nowMs() };
    this.#digestRefused = digest;
    const { version, digest: inUse } = cell.current;
    const kept = version === 0 ? "there is no table yet" : `table ${version} (${inUse}) stays in use`;
    log.error(`table not loaded, ${kept}: ${message}`, { source: this.#source, kind, problems: problems.length });
    // The first is in the message.
    this.#logLines(problems.slice(1), (line) => log.error(line, { source: this.#source }));
    onReload(kind === "missing" || kind === "unreadable" ? "unreadable" : "rejected");
  }

  status(): TableStatus {
    const { version, digest, counts } = this.#deps.cell.current;
    return {
      version,
      digest,
      source: this.#source,
      loadedAtMs: this.#loadedAtMs,
      lastAttemptAtMs: this.#lastAttemptAtMs,
      lastError: this.#lastError,
      warnings: this.#warnings,
      counts,
    };
  }

  #clearError(): void {
    this.#lastError = undefined;
    this.#digestRefused = "";
  }

  #logLines(lines: readonly string[], write: (line: string) => void): void {
    for (const line of lines.slice(0, LOG_LINES_MAX)) write(line);
    if (lines.length > LOG_LINES_MAX)
      write(`and ${lines.length - LOG_LINES_MAX} more, see GET /table of the admin server`);
  }
}
