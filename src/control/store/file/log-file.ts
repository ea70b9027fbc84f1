// The log that a file store appends to: one record at a time, on the disk before the next one begins. After a failure nothing
// more is written until `repair` has put the file into a known state again.

import { open, rename, rm, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { assert } from "../../../base/assert.ts";
import { syncDirectory } from "./directory.ts";
import { logName, logNumbers } from "./load-log.ts";
import { recordLine } from "./record.ts";
import type { LogRecord } from "./record.ts";

/** Bytes per write of a new log. */
const CHUNK_BYTES = 256 * 1024;

export class LogFile {
  readonly #directory: string;
  #number: number;
  #file: FileHandle | undefined;
  /** Up to here all records are whole and on the disk. */
  #bytes: number;
  #contentBytes: number;
  #state: "good" | "to-be-cut" | "to-be-renewed" = "good";

  /** `number` 0: there is none yet, and the first thing to do is `renew`. */
  constructor(directory: string, number: number, bytes: number, contentBytes: number) {
    this.#directory = directory;
    this.#number = number;
    this.#bytes = bytes;
    this.#contentBytes = contentBytes;
  }

  /** Of what was written since the log was begun. */
  get changedBytes(): number {
    return this.#bytes - this.#contentBytes;
  }

  get contentBytes(): number {
    return this.#contentBytes;
  }

  /** Whether the next thing may be `append`; else it is `repair`. */
  get good(): boolean {
    return this.#state === "good";
  }

  /** Resolves when the record is on the disk. Rejects with what the system says; then `repair` comes first. */
  async append(record: LogRecord): Promise<void> {
    assert(this.good, "a log is repaired before it is appended to");
    const line = recordLine(record);
    const file = await this.#opened();
    this.#state = "to-be-cut";
    await writeAll(file, line, this.#bytes);
    // After a failed sync the system may hold pages for written that are not, so this file is not to be trusted any more.
    this.#state = "to-be-renewed";
    await file.datasync();
    this.#bytes += line.length;
    this.#state = "good";
  }

  /** Makes writing safe again after a failure, and tries it. `records`: the contents, for a new log. */
  async repair(records: () => Iterable<LogRecord>): Promise<void> {
    if (this.#state === "to-be-renewed" || this.#number === 0) return this.renew(records());
    // Opened anew: the file system may have been mounted again meanwhile.
    await this.close();
    const file = await this.#opened();
    await file.truncate(this.#bytes);
    this.#state = "good";
    await this.append({ record: "alive" });
  }

  /**
   * Begins the next log with these records, a header first. It gets its name when it is complete on the disk, so there is always
   * a good one. The log before it stays, those before that are removed.
   */
  async renew(records: Iterable<LogRecord>): Promise<void> {
    const number = this.#number + 1;
    const path = join(this.#directory, logName(number));
    const draft = `${path}.new`;
    let bytes = 0;
    try {
      const file = await open(draft, "w", 0o600);
      try {
        for (const chunk of chunks(records)) {
          await writeAll(file, chunk, bytes);
          bytes += chunk.length;
        }
        await file.datasync();
      } finally {
        await file.close();
      }
      await rename(draft, path);
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {});
      throw error;
    }
    // From here on a restart reads the new one, so that nothing may be appended to the old one any more.
    await this.close();
    this.#number = number;
    this.#bytes = bytes;
    this.#contentBytes = bytes;
    this.#state = "to-be-renewed";
    await syncDirectory(this.#directory);
    this.#state = "good";
    for (const old of await logNumbers(this.#directory)) {
      if (old < number - 1) await rm(join(this.#directory, logName(old)), { force: true }).catch(() => {});
    }
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => {});
  }

  async #opened(): Promise<FileHandle> {
    if (this.#file !== undefined) return this.#file;
    const path = join(this.#directory, logName(this.#number));
    const { size } = await stat(path);
    if (size < this.#bytes) throw new Error(`${path} has lost ${this.#bytes - size} of its bytes`);
    this.#file = await open(path, "r+");
    return this.#file;
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, at: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, at + done);
    done += bytesWritten;
  }
}

function* chunks(records: Iterable<LogRecord>): Generator<Buffer> {
  let lines: Buffer[] = [];
  let bytes = 0;
  for (const record of records) {
    const line = recordLine(record);
    lines.push(line);
    bytes += line.length;
    if (bytes < CHUNK_BYTES) continue;
    yield Buffer.concat(lines);
    lines = [];
    bytes = 0;
  }
  if (bytes > 0) yield Buffer.concat(lines);
}
