import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import type { BigIntStats } from "node:fs";
import type { FileHandle } from "node:fs/promises";
import type { TableErrorKind } from "./status.ts";

/** The bytes of one version of a file, or why there are none. */
export type FileRead =
  | { readonly ok: true; readonly bytes: Uint8Array<ArrayBuffer>; readonly fingerprint: string }
  | { readonly ok: false; readonly kind: TableErrorKind; readonly message: string; readonly fingerprint: string };

/**
 * Which version of the file a path leads to at this moment, links followed: changes when the file is written, replaced or
 * touched. The ctime is in it because `cp -p` and `rsync -t` set the mtime back. "error:CODE" when the path leads nowhere.
 */
export async function fingerprintOf(file: string): Promise<string> {
  try {
    return fingerprint(await stat(file, { bigint: true }));
  } catch (error) {
    return `error:${errorCode(error)}`;
  }
}

/** Which file, whatever its version: the part of a fingerprint that stays when it is written in place. "error:CODE" for none. */
export function inodeOf(fingerprintText: string): string {
  return fingerprintText.split(":", 2).join(":");
}

/**
 * Reads a regular file of at most `bytesMax` bytes. Never throws. The fingerprint belongs to the bytes: a writer that was
 * at work meanwhile makes it differ from what `fingerprintOf` says afterwards, so that the file is read again.
 */
export async function readTableFile(file: string, bytesMax: number): Promise<FileRead> {
  try {
    // O_NONBLOCK: opening a FIFO would otherwise hold a thread of the pool until somebody writes to it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      return await readHandle(handle, file, bytesMax);
    } finally {
      await handle.close();
    }
  } catch (error) {
    const code = errorCode(error);
    const kind = code === "ENOENT" || code === "ENOTDIR" ? "missing" : "unreadable";
    return { ok: false, kind, message: `${file} ${explain(code)}`, fingerprint: `error:${code}` };
  }
}

async function readHandle(handle: FileHandle, file: string, bytesMax: number): Promise<FileRead> {
  const stats = await handle.stat({ bigint: true });
  const seen = fingerprint(stats);
  if (!stats.isFile()) {
    return { ok: false, kind: "unreadable", message: `${file} is ${typeName(stats)}, not a file`, fingerprint: seen };
  }
  if (stats.size > BigInt(bytesMax)) {
    const message = `${file} has ${stats.size} bytes, more than limits.tableBytesMax (${bytesMax})`;
    return { ok: false, kind: "too-large", message, fingerprint: seen };
  }
  const bytes = new Uint8Array(Number(stats.size));
  let length = 0;
  while (length < bytes.length) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return { ok: true, bytes: bytes.subarray(0, length), fingerprint: seen };
}

function fingerprint(stats: BigIntStats): string {
  return `${stats.dev}:${stats.ino}:${stats.size}:${stats.mtimeNs}:${stats.ctimeNs}`;
}

function typeName(stats: BigIntStats): string {
  if (stats.isDirectory()) return "a directory";
  if (stats.isFIFO()) return "a named pipe";
  if (stats.isSocket()) return "a socket";
  return "a device";
}

function explain(code: string): string {
  switch (code) {
    case "ENOENT":
      return "does not exist";
    case "ENOTDIR":
      return "does not exist: something on the way to it is not a directory";
    case "EACCES":
    case "EPERM":
      return `cannot be read: permission denied (${code}); make the file and the directories above it readable for the user that Sidelane runs as`;
    case "ELOOP":
      return "cannot be read: its symbolic links go round in circles (ELOOP)";
    default:
      return `cannot be read (${code})`;
  }
}

/** The code of a system error, `UNKNOWN` for anything else. */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "UNKNOWN";
}
