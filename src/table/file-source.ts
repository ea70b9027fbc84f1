// Where the table comes from when `table.file` names a file. Guarantees:
//
// - Nothing that happens to the file takes a good table away: a bad, missing or unreadable file leaves the last good one in
//   use, and says so once in the log, in a metric and in `status()`.
// - Only content that stood still is published, and only after it was parsed, validated, compiled and looked up once.
// - One load at a time; what changed meanwhile is loaded next, so the latest content wins.
// - The event loop never waits for a file, and the parsers of YAML and schemas are not in this process: see load-off-loop.ts.
//
// Changes are seen by file events and, because those miss some (NFS, overlay mounts, too many watches), by a look every `pollMs`.

import { setTimeout as delay } from "node:timers/promises";
import { assert } from "../base/assert.ts";
import type { Log } from "../base/log.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { TableReloadResult } from "../telemetry/metrics.ts";
import type { LoadAnswer, LoadJob } from "./load-bytes.ts";
import { loadOffLoop } from "./load-off-loop.ts";
import { fingerprintOf, inodeOf, readTableFile } from "./read-file.ts";
import { ReloadRecord } from "./reload-record.ts";
import type { TableError, TableStatus } from "./status.ts";
import type { TableSource } from "./table-source.ts";
import { FileWatch, watchDirectory } from "./watch-file.ts";
import type { WatchDirectory } from "./watch-file.ts";

/** Content that came whole, by a rename or a swapped link, has stood still when two looks this far apart see the same version. */
const SETTLE_MS = 50;
/** The same for content that is written in place: half of it can be a valid table, and writers pause. */
const SETTLE_IN_PLACE_MS = 500;
/** A file that is still being written after this long is reported, and looked at again later. */
const SETTLE_MS_MAX = 10_000;
/** Between attempts after the loader itself has failed; doubled each time, from `pollMs` up to this. */
const RETRY_MS_MAX = 5 * 60_000;

/** Which file, and the fields of the config that concern it. */
export interface TableFileOptions {
  /** `table.file` */
  readonly file: string;
  /** `timeouts.tablePollMs` */
  readonly pollMs: number;
  /** `limits.tableBytesMax` */
  readonly bytesMax: number;
}

/** A version of the file and what became of it. */
export interface PreloadedTable {
  /** `fingerprintOf` the file. */
  readonly fingerprint: string;
  readonly answer: LoadAnswer;
}

/** What the source needs from around it. */
export interface TableFileDeps {
  readonly cell: TableCell;
  readonly log: Log;
  /** See `ReloadRecordDeps`. */
  readonly onReload?: (result: TableReloadResult) => void;
  /** Milliseconds since the epoch. */
  readonly nowMs?: () => number;
  /** The first table, when the process that read the config has loaded it already; used if the file is still the same. */
  readonly preloaded?: PreloadedTable | undefined;
  /** Tests: a watch that never speaks. */
  readonly watchDirectory?: WatchDirectory;
  /** Tests: a loader that fails. */
  readonly loadOffLoop?: (job: LoadJob, signal: AbortSignal) => Promise<LoadAnswer>;
}

/** The first table could not be loaded. `message` has one line per problem. */
export class TableFileError extends Error {
  override readonly name = "TableFileError";
  readonly tableError: TableError;

  constructor(tableError: TableError) {
    super(tableError.problems.length > 0 ? tableError.problems.join("\n") : tableError.message);
    this.tableError = tableError;
  }
}

/** Loads one table file into a cell and keeps it current until `close()`. Once started it keeps no process alive. */
export class TableFileSource implements TableSource {
  readonly #options: TableFileOptions;
  readonly #cell: TableCell;
  readonly #log: Log;
  readonly #loadOffLoop: (job: LoadJob, signal: AbortSignal) => Promise<LoadAnswer>;
  #preloaded: PreloadedTable | undefined;
  readonly #watch: FileWatch;
  readonly #record: ReloadRecord;
  readonly #closing = new AbortController();
  readonly #unwatchable = new Set<string>();

  /** Something may have changed since the running look began. */
  #wanted = false;
  #running: Promise<void> | undefined = undefined;
  #poll: NodeJS.Timeout | undefined = undefined;
  /** The version of the file whose outcome is known: looked at again when it changes, or when `#retryAtMs` has come. */
  #handled = "";
  /** `inodeOf` the version that stood still last; "" before the first. */
  #inode = "";
  /** On the clock of `performance.now()`. */
  #retryAtMs = Infinity;
  #retryMs: number;

  constructor(options: TableFileOptions, deps: TableFileDeps) {
    const { cell, log, onReload = () => {}, nowMs = Date.now } = deps;
    this.#options = options;
    this.#cell = cell;
    this.#log = log;
    this.#loadOffLoop = deps.loadOffLoop ?? loadOffLoop;
    this.#preloaded = deps.preloaded;
    this.#record = new ReloadRecord(options.file, { cell, log, onReload, nowMs });
    this.#retryMs = options.pollMs;
    const changed = (): void => this.#wake();
    const unwatchable = (directory: string, code: string): void => this.#cannotWatch(directory, code);
    this.#watch = new FileWatch(options.file, { changed, unwatchable }, deps.watchDirectory ?? watchDirectory);
  }

  /** Loads the first table, then follows the file. Rejects with a `TableFileError` when there is no good table to begin with. */
  async start(): Promise<void> {
    assert(this.#poll === undefined && !this.#closing.signal.aborted, "a table source starts once");
    this.#poll = setInterval(() => this.#wake(), this.#options.pollMs);
    this.#poll.unref();
    this.#wake();
    await this.#running;
    const { loadedAtMs, lastError } = this.#record.status();
    if (loadedAtMs !== undefined || lastError === undefined) return;
    await this.close();
    throw new TableFileError(lastError);
  }

  /** Stops following the file and ends a load that is under way. The table stays in the cell. */
  async close(): Promise<void> {
    this.#closing.abort();
    clearInterval(this.#poll);
    this.#watch.close();
    await this.#running;
  }

  /** The table in use and what became of the newest content. */
  status(): TableStatus {
    return this.#record.status();
  }

  /** Nobody waits for a sidecar to follow a file. */
  goodbye(): void {}

  #wake(): void {
    if (this.#closing.signal.aborted) return;
    this.#wanted = true;
    this.#running ??= this.#run();
  }

  async #run(): Promise<void> {
    while (this.#wanted && !this.#closing.signal.aborted) {
      this.#wanted = false;
      try {
        await this.#look();
      } catch (error) {
        // A wait that `close()` ended, or a bug: neither may end the process.
        if (!this.#closing.signal.aborted) this.#loaderFailed(String(error));
      }
    }
    this.#running = undefined;
  }

  /** One look at the file: is there something new, does it stand still, read it, load it. */
  async #look(): Promise<void> {
    // Watches first: what changes from here on is either seen below or brings an event.
    await this.#watch.refresh();
    this.#record.attempted();
    const { file, bytesMax } = this.#options;
    const seen = await fingerprintOf(file);
    if (seen === this.#handled && performance.now() < this.#retryAtMs) return;

    if (!(await this.#settle(seen))) {
      this.#handled = ""; // it may come to rest as the version that was handled, and then the error must be taken back
      return this.#record.fail("unreadable", `${file} has kept changing for ${SETTLE_MS_MAX} ms`);
    }
    const read = await readTableFile(file, bytesMax);
    if (this.#closing.signal.aborted) return;
    if (!read.ok) {
      // Too large it stays until it changes. The rest may pass (a full file table, a server that is back), and asking is cheap.
      this.#handled = read.kind === "too-large" ? read.fingerprint : "";
      this.#retryAtMs = Infinity;
      return this.#record.fail(read.kind, read.message);
    }
    if ((await fingerprintOf(file)) !== read.fingerprint) {
      this.#wanted = true; // written to while it was read
      return;
    }
    const job: LoadJob = { file, bytes: read.bytes, knownDigests: this.#record.knownDigests };
    this.#handled = read.fingerprint;
    this.#retryAtMs = Infinity;
    await this.#load(job, read.fingerprint);
  }

  /** Waits until the file has stood still for as long as the way it is written asks; false when it never does. */
  async #settle(seen: string): Promise<boolean> {
    const deadlineMs = performance.now() + SETTLE_MS_MAX;
    let last = seen;
    let inPlace = seen !== this.#handled && this.#isWrittenInPlace(seen);
    while (performance.now() < deadlineMs) {
      await delay(inPlace ? SETTLE_IN_PLACE_MS : SETTLE_MS, undefined, { signal: this.#closing.signal });
      const now = await fingerprintOf(this.#options.file);
      if (now === last) {
        this.#inode = inodeOf(now);
        return true;
      }
      inPlace = inodeOf(now) === inodeOf(last) || this.#isWrittenInPlace(now);
      last = now;
    }
    return false;
  }

  /** A new version under the inode that was there before, or where nothing was: nobody renamed it into place whole, as far as can be told. */
  #isWrittenInPlace(fingerprint: string): boolean {
    return inodeOf(fingerprint) === this.#inode || this.#inode.startsWith("error:");
  }

  async #load(job: LoadJob, fingerprint: string): Promise<void> {
    const startedMs = performance.now();
    const preloaded = this.#preloaded;
    this.#preloaded = undefined;
    const answer =
      preloaded?.fingerprint === fingerprint ? preloaded.answer : await this.#loadOffLoop(job, this.#closing.signal);
    if (this.#closing.signal.aborted) return;
    if (answer.result === "failed") return this.#loaderFailed(answer.message);
    this.#retryMs = this.#options.pollMs;
    switch (answer.result) {
      case "loaded": {
        const table = new CompiledTable(answer.image, this.#cell.current.version + 1, answer.digest);
        return this.#record.publish(table, answer.warnings, Math.round(performance.now() - startedMs));
      }
      case "known":
        // Otherwise it is the content that was refused before, and has been told.
        if (answer.digest === this.#cell.current.digest) this.#record.unchanged();
        return;
      case "invalid":
        return this.#record.fail("invalid", firstOf(answer.problems), answer.problems, answer.digest);
    }
  }

  /** Not the file's fault, so the same content may do later. */
  #loaderFailed(message: string): void {
    this.#retryAtMs = performance.now() + this.#retryMs;
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
    this.#record.fail("load-failed", `${this.#options.file}: the table loader failed: ${message}`);
  }

  #cannotWatch(directory: string, code: string): void {
    const key = `${directory}:${code}`;
    if (this.#unwatchable.has(key)) return;
    this.#unwatchable.add(key);
    const { pollMs } = this.#options;
    this.#log.warn("cannot watch a directory of the table file, its changes are seen later", {
      directory,
      code,
      pollMs,
    });
  }
}

function firstOf(problems: readonly string[]): string {
  const first = problems[0] ?? "not a valid table";
  return problems.length > 1 ? `${first} (and ${problems.length - 1} more)` : first;
}
