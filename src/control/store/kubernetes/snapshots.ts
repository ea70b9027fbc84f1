// Writes what is known into chunks, lets the snapshot object point at them, and deletes what that makes superfluous: commits up to
// it, and chunks of snapshots before. Any replica may, after a commit of its own; of two at once the snapshot object's resource
// version lets one win, and the other takes its chunks away again. A replica that dies in the middle leaves chunks that nobody
// points at, which the next snapshot deletes.

import { randomBytes } from "node:crypto";
import { SNAPSHOT, chunkObjects, chunkRevision, commitRevision, floorObject, floorOf } from "./objects.ts";
import type { Following } from "./following.ts";
import type { TableCommits } from "./table-commits.ts";

export interface SnapshotTimes {
  /** Commits that a replica which starts has to read at most, about. */
  readonly commitsMax: number;
  /** Data of commits; more than the last snapshot had, so that snapshots cost no more than commits do. */
  readonly bytesMin: number;
}

const defaults: SnapshotTimes = { commitsMax: 500, bytesMin: 2 * 1024 * 1024 };

const WITHIN_MS = 10_000;
/** Deletions at once: nobody waits for them. */
const DELETIONS = 4;

interface SnapshotsOptions {
  readonly name: string;
  readonly namespace: string;
  readonly objects: TableCommits;
  readonly following: Following;
  readonly warn: (message: string) => void;
}

export class Snapshots {
  readonly #options: SnapshotsOptions;
  readonly #times: SnapshotTimes;
  #running: Promise<void> | undefined;
  #stopped = false;
  /** Something that is needed is gone: one has to be written, however little has changed. */
  #owed = false;
  /** Data of the last one that was written here. */
  #bytes = 0;

  constructor(options: SnapshotsOptions, times: Partial<SnapshotTimes> = {}) {
    this.#options = options;
    this.#times = { ...defaults, ...times };
  }

  /** Writes one when there has been enough since the last, or `now`. Never rejects; resolves when it is done. */
  write(now: boolean): Promise<void> {
    const { following } = this.#options;
    // One that runs may hold what was needed then, and is not now.
    this.#owed ||= now;
    const commits = following.known.revision - following.floor.revision;
    const due = commits >= this.#times.commitsMax || following.logBytes >= Math.max(this.#times.bytesMin, this.#bytes);
    if (this.#stopped || this.#running !== undefined || !(this.#owed || due)) return this.#running ?? Promise.resolve();
    this.#running = this.#writeAll().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** One, and one more when that has become necessary meanwhile. A failed one that is owed is tried again with the next commit. */
  async #writeAll(): Promise<void> {
    do {
      const owed = this.#owed;
      this.#owed = false;
      try {
        await this.#write(owed);
      } catch (error) {
        const said = error instanceof Error ? error.message : String(error);
        this.#options.warn(`${this.#options.name}: no snapshot could be written: ${said}; the log goes on growing`);
        this.#owed ||= owed;
        return;
      }
    } while (this.#owed && !this.#stopped);
  }

  /** Resolves when nothing goes on any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #write(now: boolean): Promise<void> {
    const { name, namespace, objects, following } = this.#options;
    const { known, contents } = following;
    const records = [...contents.records()];
    const snapshot = await objects.get(SNAPSHOT, WITHIN_MS);
    if (snapshot === undefined) return; // the list after the next look knows what to do
    const before = floorOf(name, snapshot);
    if (before.source !== known.source || before.revision > known.revision) return;
    if (before.revision === known.revision && !now) return;
    const mark = randomBytes(3).toString("hex");
    const chunks = await chunkObjects(namespace, known.revision, mark, records);
    const names = chunks.map((chunk) => chunk.metadata.name);
    for (const chunk of chunks) {
      if (this.#stopped) return;
      await objects.create(chunk, WITHIN_MS);
    }
    const floor = { origin: before.origin, revision: known.revision, commit: known.commit, chunks: names };
    let written = await objects.replace(floorObject(namespace, floor, before.resourceVersion), WITHIN_MS);
    if (written === undefined) {
      // Another replica was first, or the answer got lost.
      const found = await objects.get(SNAPSHOT, WITHIN_MS);
      written = found !== undefined && floorOf(name, found).chunks[0] === names[0] ? found : undefined;
    }
    if (written === undefined) return this.#remove(names);
    this.#bytes = chunks.reduce((sum, { spec }) => sum + String(spec["data"]).length, 0);
    following.moveFloor(floorOf(name, written));
    await this.#remove([...following.names].filter((one) => isSuperfluous(one, known.revision, names)));
  }

  async #remove(names: readonly string[]): Promise<void> {
    const left = [...names];
    const some = async (): Promise<void> => {
      for (let name = left.shift(); name !== undefined && !this.#stopped; name = left.shift()) {
        await this.#options.objects.remove(name, WITHIN_MS);
      }
    };
    await Promise.all(Array.from({ length: DELETIONS }, some));
  }
}

/** Chunks of a later revision may be those of a snapshot that somebody is writing. */
function isSuperfluous(name: string, revision: number, chunks: readonly string[]): boolean {
  const of = commitRevision(name) ?? chunkRevision(name);
  return of !== undefined && of <= revision && !chunks.includes(name);
}
