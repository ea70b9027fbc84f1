// The directory of a file store, held by one process at a time.
//
// The lock is one of the operating system's on the file `lock`, so it ends with its process, however that dies, and holds among
// containers that share a volume, which a process id in a file does not. Node has no call for such a lock; its SQLite has.
// `owner` says who holds it, for the message to others.

import { accessSync, constants, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { hostname } from "node:os";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { StoreUnusableError } from "../store.ts";

/** SQLite's primary result codes (sqlite.org/rescode.html). */
const SQLITE_BUSY = 5;

export interface HeldDirectory {
  readonly path: string;
  /** Names this very directory: a copy of it has another one. */
  readonly home: string;
  release(): void;
}

/** With the directories above it. Not by Node's `recursive`, which tries for ever where the kernel says ENOENT, as in /proc. */
function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && statSync(path).isDirectory()) return;
    if (code !== "ENOENT" || existsSync(dirname(path))) throw error;
    makeDirectory(dirname(path));
    mkdirSync(path, { mode: 0o700 });
  }
}

/** Makes the directory if need be and holds it. Throws `StoreUnusableError`. */
export function holdDirectory(path: string): HeldDirectory {
  try {
    makeDirectory(path);
  } catch (error) {
    throw new StoreUnusableError(
      `the directory ${path} cannot be made: ${said(error)}; name one that this user may write, with --store file:DIR`,
    );
  }
  const file = join(path, "lock");
  let lock: DatabaseSync | undefined;
  try {
    // SQLite would fall back to reading, and then its lock keeps nobody out.
    accessSync(path, constants.W_OK);
    lock = new DatabaseSync(file, { timeout: 0 });
    // Nothing is ever written to it, and a journal beside it would need room on a disk that may be full.
    lock.exec("PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
    accessSync(file, constants.W_OK);
  } catch (error) {
    lock?.close();
    throw new StoreUnusableError(isBusy(error) ? inUse(path) : notWritable(path, error));
  }
  const held = lock;
  try {
    writeFileSync(join(path, "owner"), `${JSON.stringify({ pid: process.pid, host: hostname() })}\n`);
  } catch {
    // A full disk is no reason not to start: what is there can be read.
  }
  const { ino, birthtimeNs } = statSync(file, { bigint: true });
  return { path, home: `${ino}-${birthtimeNs}`, release: () => held.close() };
}

/** What was renamed into or removed from a directory stays so after a power cut. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** What an error says, without Node's path and call behind it. */
export function said(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.replace(/, \w+( '.*')?$/, "");
}

function isBusy(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && (Number(error.errcode) & 0xff) === SQLITE_BUSY;
}

function inUse(path: string): string {
  let who = "another process";
  try {
    const owner = JSON.parse(readFileSync(join(path, "owner"), "utf8")) as { pid?: unknown; host?: unknown };
    who = `process ${String(owner.pid)} on ${String(owner.host)}`;
  } catch {
    // Not written yet, or half: then without the number.
  }
  return `${path} is in use by ${who}: a directory belongs to one control plane at a time; stop that one, or use etcd:// for several replicas`;
}

function notWritable(path: string, error: unknown): string {
  return `${path} cannot be written: ${said(error)}; give this user the right to write there, or name another directory with --store file:DIR`;
}
