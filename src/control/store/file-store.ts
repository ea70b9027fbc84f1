// The store in a directory of this machine: the default, nothing to install.
//
// Guarantees: a commit that was acknowledged is on the disk, whole, and once; after a crash at any moment the next start finds
// all of them. One process at a time. When the disk is full or read-only, reading goes on and writing says so, and works again
// by itself. A copy of the directory, made at any time by any tool, is a usable backup: it has at least everything acknowledged
// before the copy began (as long as no two new logs were begun meanwhile: there is at least a minute between them).
//
// Mechanism: one append-only log of records with checksums (file/record.ts), each synced before its commit resolves, all in
// memory besides; when the log has grown a new one is begun with the contents and put in place by a rename. A copy of a
// directory gets a `source` of its own when it is opened, because its revisions go another way from there. So does one whose log is
// not as it was left (file/left-log.ts): a backup may have been put over it.

import { randomUUID } from "node:crypto";
import type { AuditEntry, Resource } from "../resource.ts";
import { Contents } from "./file/contents.ts";
import { holdDirectory, said } from "./file/directory.ts";
import type { HeldDirectory } from "./file/directory.ts";
import { isAsLeft, noteLeft } from "./file/left-log.ts";
import { loadLog } from "./file/load-log.ts";
import { LogFile } from "./file/log-file.ts";
import { LOG_FORMAT } from "./file/record.ts";
import type { LogRecord } from "./file/record.ts";
import { StoreUnavailableError, StoreUnusableError } from "./store.ts";
import type { Commit, CommitResult, ReplicaRecord, ReplicasListener, Store, StoreFollower } from "./store.ts";

export interface FileStoreOptions {
  /** What was put right by itself, for the log. */
  readonly warn?: (message: string) => void;
  /** A log may grow by this much, or by as much as its contents, before a new one is begun. */
  readonly growBytes?: number;
  /** Between two new logs: a copy of the directory may take that long. */
  readonly renewEveryMs?: number;
  /** Between attempts to write again. */
  readonly retryMs?: number;
}

const MIB = 1024 * 1024;

export class FileStore implements Store {
  readonly name: string;
  readonly #path: string;
  readonly #options: Required<FileStoreOptions>;
  #held: HeldDirectory | undefined;
  #log: LogFile | undefined;
  #contents = new Contents();
  #follower: StoreFollower | undefined;
  /** Why nothing can be written; "" when it can. */
  #problem = "";
  #retry: NodeJS.Timeout | undefined;
  #renewedMs = -Infinity;
  /** The log says of which history it is. */
  #sourceWritten = true;
  #closed = false;
  /** What touches the log happens one after the other. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string, options: FileStoreOptions = {}) {
    this.name = `file:${path}`;
    this.#path = path;
    this.#options = { warn: () => {}, growBytes: 4 * MIB, renewEveryMs: 60_000, retryMs: 1000, ...options };
  }

  get source(): string {
    return this.#contents.source;
  }

  async open(follower: StoreFollower): Promise<void> {
    const held = holdDirectory(this.#path);
    try {
      const loaded = await loadLog(this.#path);
      this.#contents = loaded.contents;
      this.#log = new LogFile(this.#path, loaded.number, loaded.bytes, loaded.contentBytes);
      for (const told of loaded.told) this.#options.warn(told);
      await this.#begin(this.#log, loaded.number, held.home);
    } catch (error) {
      await this.#log?.close();
      held.release();
      throw error;
    }
    this.#held = held;
    this.#follower = follower;
    follower.reset(this.#contents.snapshot());
    follower.reachable(this.#problem === "", this.#problem);
  }

  /** A first log, or a new history for a directory that was copied, or that a backup may have been copied to. */
  async #begin(log: LogFile, number: number, home: string): Promise<void> {
    const isCopy = this.#contents.home !== home;
    if (!isCopy && (await isAsLeft(this.#path, number))) return;
    this.#contents.apply({ record: "source", source: randomUUID(), home });
    try {
      if (number === 0) await log.renew(this.#records());
      else await log.append({ record: "source", source: this.source, home });
    } catch (error) {
      // What is there can be read on a full disk, too, under a name that lasts as long as this process.
      if (!isCopy) {
        this.#sourceWritten = false;
        return this.#broken(error);
      }
      throw new StoreUnusableError(
        `${this.#path} cannot be written: ${said(error)}; make room there, or name another directory with --store file:DIR`,
      );
    }
  }

  commit(commit: Commit): Promise<CommitResult> {
    return this.#next(async (log) => {
      const before = this.#contents.revisionOf(commit.id);
      if (before !== undefined) return { done: true, revision: before, puts: versioned(commit.puts, before) };
      if (commit.basedOn !== this.#contents.revision) return { done: false };
      const revision = this.#contents.revision + 1;
      const puts = versioned(commit.puts, revision);
      const { id, deletes } = commit;
      const audit = commit.audit.map((entry) => Object.assign({}, entry, { revision }));
      await this.#append(log, { record: "commit", id, revision, puts, deletes, audit });
      this.#follower?.changed({ revision, puts, deletes });
      return { done: true, revision, puts };
    });
  }

  async audit(query: { kind?: string; name?: string; limit: number }): Promise<readonly AuditEntry[]> {
    return this.#contents.audit(query);
  }

  noteTraffic(times: Readonly<Record<string, number>>): Promise<void> {
    return this.#next(async (log) => {
      const later = this.#contents.laterTraffic(times);
      if (Object.keys(later).length > 0) await this.#append(log, { record: "traffic", times: later });
    });
  }

  async traffic(): Promise<Readonly<Record<string, number>>> {
    return this.#contents.traffic();
  }

  /** There is only ever one replica. */
  async join(self: ReplicaRecord, changed: ReplicasListener): Promise<void> {
    changed([self]);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#last;
    await this.#log?.close();
    if (this.#held !== undefined && this.#sourceWritten && this.#problem === "") await noteLeft(this.#path);
    this.#held?.release();
    this.#held = undefined;
  }

  /** Runs when all before it are done. */
  #next<T>(work: (log: LogFile) => Promise<T>): Promise<T> {
    const result = this.#last.then(() => {
      if (this.#closed || this.#log === undefined) throw new StoreUnavailableError(`${this.name} is closed`);
      return work(this.#log);
    });
    this.#last = result.catch(() => {});
    return result;
  }

  async #append(log: LogFile, record: LogRecord): Promise<void> {
    if (this.#problem !== "") await this.#repair(log);
    if (this.#problem !== "") throw new StoreUnavailableError(this.#problem);
    try {
      await log.append(record);
    } catch (error) {
      this.#broken(error);
      // What reached the disk of it is cut off at once, if that is possible, so that no restart finds it.
      await this.#repair(log);
      throw new StoreUnavailableError(this.#writeProblem(error));
    }
    const problem = this.#contents.apply(record);
    if (problem !== "") throw new Error(problem);
    await this.#compact(log);
  }

  async #compact(log: LogFile): Promise<void> {
    if (log.changedBytes < Math.max(this.#options.growBytes, log.contentBytes)) return;
    const nowMs = performance.now();
    if (nowMs - this.#renewedMs < this.#options.renewEveryMs) return;
    this.#renewedMs = nowMs;
    try {
      await log.renew(this.#records());
    } catch (error) {
      // The record itself is safe, and the old log goes on, unless it has been replaced already.
      if (!log.good) return this.#broken(error);
      this.#options.warn(`${this.#path}: a new log could not be begun: ${said(error)}; the old one goes on growing`);
    }
  }

  *#records(): Generator<LogRecord> {
    const { source, home, revision } = this.#contents;
    yield { record: "header", format: LOG_FORMAT, source, home, revision, madeAt: new Date().toISOString() };
    yield* this.#contents.records();
  }

  #writeProblem(error: unknown): string {
    return `the store ${this.name} cannot be written: ${said(error)}; reading goes on, nothing was changed; make room there or make it writable, no restart is needed`;
  }

  #broken(error: unknown): void {
    const first = this.#problem === "";
    this.#problem = this.#writeProblem(error);
    if (first) this.#follower?.reachable(false, this.#problem);
    clearTimeout(this.#retry);
    if (this.#closed) return;
    this.#retry = setTimeout(() => void this.#tryAgain(), this.#options.retryMs);
    this.#retry.unref();
  }

  async #tryAgain(): Promise<void> {
    if (!this.#closed) await this.#next((log) => this.#repair(log)).catch(() => {});
  }

  async #repair(log: LogFile): Promise<void> {
    if (this.#problem === "") return;
    try {
      await log.repair(() => this.#records());
    } catch (error) {
      this.#broken(error);
      return;
    }
    clearTimeout(this.#retry);
    this.#problem = "";
    this.#follower?.reachable(true, "");
  }
}

function versioned(puts: readonly Resource[], version: number): Resource[] {
  return puts.map((put) => Object.assign({}, put, { meta: { ...put.meta, version } }));
}
