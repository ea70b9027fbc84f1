// Files that belong together, followed while they change. Guarantees:
//
// - What has been found good stays in use until something better is there: a missing, half written or unfit file changes
//   nothing, and is told of once.
// - The event loop never waits for a file.
//
// They are polled: such files change every few weeks, reading them costs microseconds, and a poll sees every kind of replacement
// on every file system.

import { constants } from "node:fs";
import { open } from "node:fs/promises";

/** Between two looks. */
const POLL_MS = 5000;
/** Between the look that sees a change and the one that finds it standing still. */
const SETTLE_MS = 500;

/** Tests: shorter times. */
export interface FollowTimes {
  readonly pollMs?: number;
  readonly settleMs?: number;
}

/** What one look at the files has seen. */
export interface Look {
  /** Why it cannot be used. */
  readonly fault: string | undefined;
  /** The same for the same content. */
  readonly digest: string;
}

/** Whoever knows what is in the files. */
export interface FileUser<L extends Look> {
  /** Looks at all files, and judges them. Never rejects. */
  look(): Promise<L>;
  /** Takes into use what has changed and has no fault; throws what it finds wrong with it all the same. */
  apply(look: L): void;
  /** What is there now cannot be used. Once for each reason. */
  refused(why: string): void;
  /** What is in use is what the files hold again. */
  restored(): void;
}

/** Follows the files of one user. */
export class FollowedFiles<L extends Look> {
  readonly #user: FileUser<L>;
  readonly #times: FollowTimes;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Digest of what is in use. */
  #used = "";
  /** What is in use has a fault: there was nothing better to start with. */
  #faultOfUsed: string | undefined;
  /** Digest that the previous look saw, when it was another one. */
  #seen = "";
  #error: string | undefined;

  constructor(user: FileUser<L>, times: FollowTimes) {
    this.#user = user;
    this.#times = times;
  }

  /** Why the newest content of the files is not in use, or what is wrong with it although it is. */
  get error(): string | undefined {
    return this.#error;
  }

  /** Begins with what the first look has seen and is in use from now on, fault or not. */
  start(look: L): void {
    this.#used = look.digest;
    this.#faultOfUsed = look.fault;
    this.#error = look.fault;
    this.#schedule(false);
  }

  /** Follows the files no longer. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #schedule(soon: boolean): void {
    if (this.#closed) return;
    const { pollMs = POLL_MS, settleMs = SETTLE_MS } = this.#times;
    this.#timer = setTimeout(() => void this.#poll(), soon ? settleMs : pollMs);
    this.#timer.unref();
  }

  async #poll(): Promise<void> {
    const look = await this.#user.look();
    if (this.#closed) return;
    let soon = false;
    if (look.digest === this.#used) {
      this.#seen = "";
      this.#clearError();
    } else if (look.digest !== this.#seen) {
      // It may be half of what is being written.
      this.#seen = look.digest;
      soon = true;
    } else if (look.fault === undefined) this.#apply(look);
    else this.#refuse(look.fault);
    this.#schedule(soon);
  }

  #apply(look: L): void {
    try {
      this.#user.apply(look);
    } catch (error) {
      this.#refuse(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#seen = "";
    this.#used = look.digest;
    this.#faultOfUsed = undefined;
    this.#error = undefined;
  }

  #refuse(why: string): void {
    if (why === this.#error) return;
    this.#error = why;
    this.#user.refused(why);
  }

  /** A fault of what is in use stays: the content is the same. */
  #clearError(): void {
    if (this.#error === undefined || this.#faultOfUsed !== undefined) return;
    this.#error = undefined;
    this.#user.restored();
  }
}

/** Content of one file, or what is wrong with it: a sentence that the file's name begins. */
export type SmallFile =
  | { readonly ok: true; readonly bytes: Buffer }
  | { readonly ok: false; readonly problem: string };

/** Reads a file of at most `bytesMax` bytes, which is more than any `kind` has. Never rejects. */
export async function readSmallFile(file: string, bytesMax: number, kind: string): Promise<SmallFile> {
  try {
    // O_NONBLOCK: opening a FIFO would otherwise hold a thread of the pool until somebody writes to it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return { ok: false, problem: "is not a file, name a file" };
      if (stats.size > bytesMax) return { ok: false, problem: `has ${stats.size} bytes, more than any ${kind}` };
      return { ok: true, bytes: await handle.readFile() };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return { ok: false, problem: "does not exist" };
    if (code === "EACCES") {
      return { ok: false, problem: "cannot be read, make it readable for the user that Sidelane runs as" };
    }
    return { ok: false, problem: `cannot be read (${code ?? String(error)})` };
  }
}
