// The records of the file store's log: a line each, `<CRC-32 of the JSON, eight hex digits> <JSON>`. Text, so that people can
// read a log with what they have; the checksum, because a disk may have written half of a line or another line.
//
// A log is a header, the contents at the header's revision, `begin`, and what was written since. Format 1.

import { crc32 } from "node:zlib";
import type { AuditEntry, Resource, ResourceId } from "../../resource.ts";

/** Of the log; a later one is refused. */
export const LOG_FORMAT = 1;

export type LogRecord =
  | {
      readonly record: "header";
      readonly format: number;
      readonly source: string;
      /** Which directory this log was written in; see directory.ts. */
      readonly home: string;
      readonly revision: number;
      readonly madeAt: string;
    }
  | { readonly record: "resource"; readonly resource: Resource }
  | { readonly record: "audit"; readonly entries: readonly AuditEntry[] }
  /** Ids of the last commits and the revisions that they led to. */
  | { readonly record: "commits"; readonly ids: readonly (readonly [id: string, revision: number])[] }
  | { readonly record: "traffic"; readonly times: Readonly<Record<string, number>> }
  /** The contents are complete; changes follow. */
  | { readonly record: "begin" }
  | {
      readonly record: "commit";
      readonly id: string;
      readonly revision: number;
      readonly puts: readonly Resource[];
      readonly deletes: readonly ResourceId[];
      readonly audit: readonly AuditEntry[];
    }
  /** The directory is a copy: from here on the revisions are another history. */
  | { readonly record: "source"; readonly source: string; readonly home: string }
  /** Says nothing: written to see whether writing works again. */
  | { readonly record: "alive" };

const NEWLINE = 0x0a;
const CHECKSUM_DIGITS = 8;

export function recordLine(record: LogRecord): Buffer {
  const json = JSON.stringify(record);
  return Buffer.from(`${crc32(json).toString(16).padStart(CHECKSUM_DIGITS, "0")} ${json}\n`);
}

/** How reading a log ended: at its end, in a record that was never finished, or at damage. `at` is the first byte not read. */
export type LogEnd =
  | { readonly end: "clean"; readonly at: number }
  | { readonly end: "torn"; readonly at: number }
  | { readonly end: "damaged"; readonly at: number; readonly validAfter: number };

/** Calls `each` for the records from the first to the first that is not valid. What `each` throws comes through. */
export function readRecords(log: Buffer, each: (record: LogRecord, at: number) => void): LogEnd {
  let at = 0;
  while (at < log.length) {
    const newline = log.indexOf(NEWLINE, at);
    const record = newline === -1 ? undefined : parseLine(log.subarray(at, newline));
    if (record === undefined) return endAt(log, at);
    each(record, at);
    at = newline + 1;
  }
  return { end: "clean", at };
}

/**
 * Only the last record can be unfinished: the next one is not begun before it is on the disk. An unfinished record lacks its
 * end, or (its length reached the disk, its bytes did not) has zeros, which JSON never has. All else is damage.
 */
function endAt(log: Buffer, at: number): LogEnd {
  let validAfter = 0;
  for (let from = log.indexOf(NEWLINE, at) + 1; from > 0 && from < log.length;) {
    const newline = log.indexOf(NEWLINE, from);
    if (newline !== -1 && parseLine(log.subarray(from, newline)) !== undefined) validAfter++;
    from = newline + 1;
  }
  const unfinished = log.at(-1) !== NEWLINE || log.includes(0, at);
  return validAfter === 0 && unfinished ? { end: "torn", at } : { end: "damaged", at, validAfter };
}

function parseLine(line: Buffer): LogRecord | undefined {
  const json = line.subarray(CHECKSUM_DIGITS + 1);
  const checksum = line.toString("latin1", 0, CHECKSUM_DIGITS);
  if (line[CHECKSUM_DIGITS] !== 0x20 || !/^[0-9a-f]{8}$/.test(checksum)) return undefined;
  if (Number.parseInt(checksum, 16) !== crc32(json)) return undefined;
  try {
    const value: unknown = JSON.parse(json.toString());
    return typeof value === "object" && value !== null && "record" in value ? (value as LogRecord) : undefined;
  } catch {
    return undefined; // The checksum fits and it is no JSON: written by something else.
  }
}
