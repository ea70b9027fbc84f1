// Where the table comes from when `table.control` names a control plane. Guarantees:
//
// - Nothing that comes over the stream, and no stream that ends, takes a good table away or ends the process: what is refused is
//   said to the control plane, in the log and in `status()`, and the last good table stays in use.
// - A revision is used whole or not at all, and only after it was validated, compiled and looked up once.
// - One load at a time, and never more than a fifth of the time; what has arrived meanwhile is loaded together.
// - The last table in use is on disk, written after it was published and never while a request waits for it.
//
// One stream is open at a time. A new one begins only when nothing is being loaded, and says hello with the table in use: so what
// the other side thinks is here and what is here are the same.

import { setTimeout as delay } from "node:timers/promises";
import type { Log } from "../../base/log.ts";
import type { ControlTableConfig } from "../../config/table-source.ts";
import { FedTable } from "../../feed/fed-table.ts";
import type { Candidate } from "../../feed/fed-table.ts";
import type { FromControl, Hello, Scope, Update } from "../../feed/messages.ts";
import { CompiledTable } from "../../routing/compiled-table.ts";
import type { TableCell } from "../../routing/table-cell.ts";
import type { TableReloadResult } from "../../telemetry/metrics.ts";
import type { LoadAnswer } from "../load-bytes.ts";
import { ReloadRecord } from "../reload-record.ts";
import type { TableStatus } from "../status.ts";
import type { TableSource } from "../table-source.ts";
import { ActivityReports } from "./activity-reports.ts";
import { Backoff } from "./backoff.ts";
import { readCredentials } from "./credentials.ts";
import { KeptFile, readKept } from "./kept-table.ts";
import { loadFed } from "./loader.ts";
import { Pace } from "./pace.ts";
import type { FeedQuestions } from "./questions.ts";
import { FeedStream } from "./stream.ts";
import type { StreamEnd } from "./stream.ts";

/** A connection that has lasted this long was a good one. */
const GOOD_MS = 10_000;
/** What a table that is being written gets when the process ends. */
const KEEP_MS_MAX = 2_000;
/** Questions that are being answered. */
const QUESTIONS_MAX = 100;
/** Lines of an acknowledgement. */
const PROBLEMS_MAX = 20;
/** Before a table is loaded again when the loader itself has failed; doubled each time. */
const RETRY_MS = 5_000;
const RETRY_MS_MAX = 5 * 60_000;

/** What is followed, and as whom. */
export interface ControlSourceOptions {
  readonly config: ControlTableConfig;
  readonly scope: Scope;
  /** What the hello says of this process. */
  readonly self: Omit<Hello, "scope" | "source" | "revision">;
  /** Whether this process writes the kept table; all that there are read it. */
  readonly keeps: boolean;
  /** `limits.tableBytesMax` */
  readonly bytesMax: number;
}

/** What the source needs from around it. */
export interface ControlSourceDeps {
  readonly cell: TableCell;
  readonly log: Log;
  readonly questions: FeedQuestions;
  /** See `ReloadRecordDeps`. */
  readonly onReload?: (result: TableReloadResult) => void;
  /** After the revision in use or the connection has changed. */
  readonly onFeed?: (revision: number, connected: boolean) => void;
  /** Tests: another loader. */
  readonly loadFed?: (candidate: Candidate, signal: AbortSignal) => Promise<LoadAnswer>;
  /** Tests: see `StreamTarget`. */
  readonly firstMessageMs?: number;
  /** Tests: see `Backoff`. */
  readonly random?: () => number;
}

/** Follows a control plane until `close()`. By itself it keeps no process alive. */
export class ControlSource implements TableSource {
  readonly #options: ControlSourceOptions;
  readonly #deps: ControlSourceDeps;
  readonly #log: Log;
  readonly #loadFed: (candidate: Candidate, signal: AbortSignal) => Promise<LoadAnswer>;
  readonly #record: ReloadRecord;
  readonly #fed: FedTable;
  readonly #pace = new Pace();
  readonly #backoff: Backoff;
  readonly #kept: KeptFile | undefined;
  readonly #activity: ActivityReports;
  readonly #closing = new AbortController();
  readonly #first = Promise.withResolvers<void>();

  #stream: FeedStream | undefined = undefined;
  #opening: Promise<void> | undefined = undefined;
  /** The stream before, as long as its end is not through. */
  #departing: Promise<void> | undefined = undefined;
  #reconnect: NodeJS.Timeout | undefined = undefined;
  #openedAtMs = 0;
  #connected = false;
  #connectedSinceMs = Date.now();
  #problem = "";
  #leaving = false;
  #answering = 0;
  /** Loading what waits, one after the other. */
  #pumping: Promise<void> | undefined = undefined;
  /** The load that is under way. */
  #using: Promise<void> | undefined = undefined;
  #retry: NodeJS.Timeout | undefined = undefined;
  #retryMs = RETRY_MS;
  #keepFailed = false;

  constructor(options: ControlSourceOptions, deps: ControlSourceDeps) {
    const { config, scope, self, keeps, bytesMax } = options;
    const { cell, log, onReload = () => {} } = deps;
    this.#options = options;
    this.#deps = deps;
    this.#log = log;
    this.#loadFed = deps.loadFed ?? loadFed;
    // What is odd about a table has been said where it was written; thousands of sidecars need not repeat it.
    this.#record = new ReloadRecord(`control ${config.control}`, {
      cell,
      log,
      onReload,
      nowMs: Date.now,
      logWarnings: false,
    });
    this.#fed = new FedTable(scope, bytesMax);
    this.#backoff = new Backoff(deps.random);
    this.#kept = keeps
      ? new KeptFile(config.keep, { service: self.service, scope }, (message) => this.#cannotKeep(message))
      : undefined;
    this.#activity = new ActivityReports(deps.questions, (activity) => {
      if (!this.#connected) return;
      this.#stream?.send({ kind: "activity", activity });
    });
    this.#first.promise.catch(() => {}); // nobody may be waiting
  }

  async start(): Promise<void> {
    await this.#useKept();
    this.#connectLater(0);
    await this.#first.promise;
  }

  status(): TableStatus {
    return {
      ...this.#record.status(),
      revision: this.#fed.revision,
      feed: { connected: this.#connected, sinceMs: this.#connectedSinceMs, problem: this.#problem },
    };
  }

  goodbye(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    clearTimeout(this.#reconnect);
    this.#stream?.send({ kind: "goodbye" });
  }

  async close(): Promise<void> {
    this.#closing.abort();
    clearTimeout(this.#reconnect);
    clearTimeout(this.#retry);
    this.#activity.stop();
    await this.#opening;
    await this.#departing;
    await this.#stream?.close();
    this.#stream = undefined;
    this.#setConnected(false);
    await this.#pumping;
    // A disk that is slow to sync keeps no process from ending; the file is whole either way.
    await Promise.race([this.#kept?.settled(), delay(KEEP_MS_MAX, undefined, { ref: false })]);
    this.#first.reject(new Error("stopped before there was a table"));
  }

  async #useKept(): Promise<void> {
    const { config, scope, self, bytesMax } = this.#options;
    const kept = await readKept(config.keep, { service: self.service, scope }, 2 * bytesMax);
    if (kept.kind === "unusable") {
      this.#log.warn(`the kept table is not used: ${kept.why}`, { control: config.control });
    }
    if (kept.kind !== "kept" || this.#closing.signal.aborted) return;
    this.#fed.restore(kept.source, kept.revision, kept.document);
    const candidate = this.#fed.begin();
    if (candidate !== undefined) {
      await this.#use(candidate, true).catch((error: unknown) => this.#failed(candidate.revision, error));
    }
    this.#fed.forgetUnused();
  }

  #connectLater(afterMs: number): void {
    if (this.#closing.signal.aborted || this.#leaving) return;
    clearTimeout(this.#reconnect);
    this.#reconnect = setTimeout(() => {
      this.#opening = this.#open().finally(() => (this.#opening = undefined));
    }, afterMs).unref();
  }

  async #open(): Promise<void> {
    const { config } = this.#options;
    try {
      const credentials = await readCredentials(config);
      await this.#departing;
      while (this.#using !== undefined) await this.#using;
      if (this.#closing.signal.aborted || this.#leaving) return;
      this.#fed.forgetUnused();
      this.#openedAtMs = performance.now();
      this.#stream = new FeedStream(
        { control: config.control, credentials, firstMessageMs: this.#deps.firstMessageMs },
        this.#hello(),
        {
          message: (message) => this.#receive(message),
          ended: (end) => this.#ended(end),
        },
      );
    } catch (error) {
      this.#ended({ kind: "gone", why: error instanceof Error ? error.message : String(error) });
    }
  }

  #hello(): Hello {
    const { self, scope } = this.#options;
    return { ...self, scope, source: this.#fed.source, revision: this.#fed.revision };
  }

  #receive(message: FromControl): void {
    if (!this.#connected) this.#setConnected(true);
    switch (message.kind) {
      case "update":
        return this.#update(message.update);
      case "question":
        return void this.#question(message);
      case "reconnect":
        return this.#sentAway(message.afterMs);
      case "unknown":
    }
  }

  #update(update: Update): void {
    const taken = this.#fed.take(update);
    if (taken.kind === "part") return;
    if (taken.kind === "refused") {
      this.#record.attempted();
      this.#record.fail("invalid", `update refused: ${taken.problem}`);
      this.#acknowledge(update.revision, taken.problem);
      return this.#stream?.abandon(`an update was refused: ${taken.problem}`);
    }
    this.#pump();
  }

  async #question({ id, withinMs, question }: Extract<FromControl, { kind: "question" }>): Promise<void> {
    const stream = this.#stream;
    if (this.#answering >= QUESTIONS_MAX) {
      const error = `the sidecar is answering ${QUESTIONS_MAX} questions already; ask again later`;
      return stream?.send({ kind: "answer", id, answer: { kind: "error", error } });
    }
    this.#answering++;
    const answer = await this.#deps.questions
      .answer(question, withinMs)
      .catch((error: unknown) => ({ kind: "error" as const, error: String(error) }));
    this.#answering--;
    stream?.send({ kind: "answer", id, answer });
  }

  #sentAway(afterMs: number): void {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#departing = stream?.close();
    this.#setConnected(false);
    this.#log.info("the control plane asks to come again", { control: this.#options.config.control, afterMs });
    this.#connectLater(this.#backoff.askedMs(afterMs));
  }

  #ended({ kind, why }: StreamEnd): void {
    this.#stream = undefined;
    const wasConnected = this.#connected;
    this.#setConnected(false);
    if (this.#closing.signal.aborted || this.#leaving) return;
    if (wasConnected && performance.now() - this.#openedAtMs >= GOOD_MS) this.#backoff.reset();
    const retryMs = Math.round(kind === "refused" ? this.#backoff.refusedMs() : this.#backoff.nextMs());
    // Told once, however often it is met, until the connection is there again.
    if (why !== this.#problem) {
      const { version, digest } = this.#deps.cell.current;
      const kept = version === 0 ? "there is no table yet" : `table ${version} (${digest}) stays in use`;
      const fields = { control: this.#options.config.control, why, retryMs };
      if (kind === "gone") this.#log.warn(`not connected to the control plane, ${kept}`, fields);
      else this.#log.error(`not connected to the control plane, ${kept}`, fields);
    }
    this.#problem = why;
    this.#connectLater(retryMs);
  }

  #setConnected(connected: boolean): void {
    if (connected === this.#connected) return;
    this.#connected = connected;
    this.#connectedSinceMs = Date.now();
    if (connected) {
      this.#problem = "";
      const { control } = this.#options.config;
      this.#log.info("following the control plane", { control, revision: this.#fed.revision });
      this.#activity.start();
    } else this.#activity.stop();
    this.#deps.onFeed?.(this.#fed.revision, connected);
  }

  #pump(): void {
    if (this.#fed.hasWaiting) this.#pumping ??= this.#loadWaiting();
  }

  async #loadWaiting(): Promise<void> {
    while (this.#fed.hasWaiting && !this.#closing.signal.aborted) {
      const waitMs = this.#pace.waitMs(performance.now());
      if (waitMs > 0) {
        await delay(waitMs, undefined, { signal: this.#closing.signal, ref: false }).catch(() => {});
        continue;
      }
      const candidate = this.#fed.begin();
      if (candidate === undefined) break;
      this.#using = this.#use(candidate, false).catch((error: unknown) => this.#failed(candidate.revision, error));
      await this.#using;
      this.#using = undefined;
    }
    // Here and not in a `finally`: what arrives from now on has to begin anew.
    this.#pumping = undefined;
  }

  /** Brings a candidate into use, or says why not. Rejects only for bugs of ours, an image that is none for one. */
  async #use(candidate: Candidate, isKept: boolean): Promise<void> {
    const { revision } = candidate;
    this.#record.attempted();
    if (!candidate.differs) {
      this.#fed.adopt();
      // Only news of a mistake that was taken back is worth a line.
      if (this.#record.status().lastError !== undefined) this.#record.unchanged();
      this.#deps.onFeed?.(revision, this.#connected);
      return this.#acknowledge(revision, "");
    }
    const startedMs = performance.now();
    const answer = await this.#loadFed(candidate, this.#closing.signal).catch((error: unknown): LoadAnswer => ({
      result: "failed",
      message: String(error),
    }));
    const endedMs = performance.now();
    // On a busy machine a load takes long without costing more.
    const cpuMs = answer.result === "loaded" ? answer.cpuMs : undefined;
    this.#pace.loaded(endedMs, cpuMs ?? endedMs - startedMs);
    if (this.#closing.signal.aborted) return;
    if (answer.result === "loaded") {
      const table = new CompiledTable(answer.image, this.#deps.cell.current.version + 1, answer.digest);
      this.#fed.adopt();
      this.#retryMs = RETRY_MS;
      this.#record.publish(table, answer.warnings, Math.round(endedMs - startedMs), { revision, kept: isKept });
      this.#deps.onFeed?.(revision, this.#connected);
      // Before the acknowledgement: which exchanges still run where the table has nothing any more.
      this.#activity.report();
      this.#acknowledge(revision, "");
      if (!isKept) this.#kept?.keep(candidate, answer.digest);
      return this.#first.resolve();
    }
    this.#fed.refuse();
    if (answer.result === "invalid") {
      const { problems, digest } = answer;
      const message = `revision ${revision}: ${firstOf(problems)}`;
      this.#record.fail("invalid", message, problems, digest);
      return this.#acknowledge(revision, firstOf(problems), problems);
    }
    this.#failed(revision, answer.result === "failed" ? answer.message : "it answered what was not asked");
  }

  /** Not the table's fault, so the same one may do later. */
  #failed(revision: number, error: unknown): void {
    this.#fed.refuse(); // unless that has been done
    const why = error instanceof Error ? error.message : String(error);
    this.#record.fail("load-failed", `revision ${revision}: the table loader failed: ${why}`);
    this.#acknowledge(revision, `the table loader failed: ${why}`);
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => {
      this.#fed.retry();
      this.#pump();
    }, this.#retryMs).unref();
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX);
  }

  #acknowledge(revision: number, error: string, problems: readonly string[] = []): void {
    const applied = { revision, error, problems: problems.slice(0, PROBLEMS_MAX) };
    this.#stream?.send({ kind: "applied", applied });
  }

  #cannotKeep(message: string): void {
    if (this.#keepFailed) return;
    this.#keepFailed = true;
    this.#log.warn(`the table is not kept: ${message}`, {
      advice:
        "a start while the control plane is away would have to wait for it; make the folder writable, or set table.keep",
    });
  }
}

function firstOf(problems: readonly string[]): string {
  const first = problems[0] ?? "not a valid table";
  return problems.length > 1 ? `${first} (and ${problems.length - 1} more)` : first;
}
