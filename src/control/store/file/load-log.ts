// Reads the newest log of a directory, and says what is wrong with it. Logs are numbered; each begins with the whole contents,
// so one of them is enough. The one before is kept for whoever copies the directory while the next one is made.

import { readdir, readFile, rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { StoreUnusableError } from "../store.ts";
import { Contents } from "./contents.ts";
import { said } from "./directory.ts";
import { LOG_FORMAT, readRecords } from "./record.ts";
import type { LogRecord } from "./record.ts";

export interface LoadedLog {
  readonly contents: Contents;
  /** 0: there is no log yet. */
  readonly number: number;
  readonly bytes: number;
  /** Of them, the contents with which the log begins. */
  readonly contentBytes: number;
  /** Sentences for people about what was put right. */
  readonly told: readonly string[];
}

export function logName(number: number): string {
  return `commits-${String(number).padStart(8, "0")}.log`;
}

function logNumber(name: string): number {
  const digits = /^commits-(\d{8,})\.log$/.exec(name)?.[1];
  return digits === undefined ? 0 : Number(digits);
}

/** The numbers of a directory's logs, newest first. */
export async function logNumbers(directory: string): Promise<number[]> {
  const numbers = (await readdir(directory)).map(logNumber).filter((number) => number > 0);
  return numbers.toSorted((a, b) => b - a);
}

/** Throws `StoreUnusableError`. Cuts off a record that was never finished, and removes logs that were never finished. */
export async function loadLog(directory: string): Promise<LoadedLog> {
  try {
    for (const name of await readdir(directory)) {
      if (/^commits-\d+\.log\.new$/.test(name)) await rm(join(directory, name), { force: true });
    }
    const [newest, before] = await logNumbers(directory);
    if (newest === undefined) {
      return { contents: new Contents(), number: 0, bytes: 0, contentBytes: 0, told: [] };
    }
    return await loadOne(directory, newest, before);
  } catch (error) {
    if (error instanceof StoreUnusableError) throw error;
    throw new StoreUnusableError(`${directory} cannot be read: ${said(error)}; make it readable and start again`);
  }
}

async function loadOne(directory: string, number: number, before: number | undefined): Promise<LoadedLog> {
  const path = join(directory, logName(number));
  const log = await readFile(path);
  const contents = new Contents();
  let records = 0;
  let contentBytes = 0;
  const end = readRecords(log, (record, at) => {
    const problem = records === 0 ? headerProblem(record) : contents.apply(record);
    if (problem !== "")
      throw new StoreUnusableError(`${path}: byte ${at}: ${problem}; ${whatToDo(path, at, contents)}`);
    if (records === 0) contents.apply(record);
    if (record.record === "begin") contentBytes = at;
    records++;
  });
  const { at } = end;
  if (contentBytes === 0) {
    // It got its name only after all of this was on the disk.
    const instead = before === undefined ? "restore a backup" : beforeIt(directory, number, before);
    throw new StoreUnusableError(
      `${path}: byte ${at}: the log ends or is damaged before its contents are complete; ${instead}`,
    );
  }
  if (end.end === "damaged") {
    const after = end.validAfter === 0 ? "its checksum does not fit" : `${end.validAfter} good records follow`;
    throw new StoreUnusableError(
      `${path}: byte ${at}: the record is damaged (${after}); ${whatToDo(path, at, contents)}`,
    );
  }
  if (end.end === "clean") return { contents, number, bytes: at, contentBytes, told: [] };
  await truncate(path, at);
  const told = `${path}: byte ${at}: the last ${log.length - at} bytes are a record that was never finished, after revision ${contents.revision}; they were cut off, nothing that was acknowledged is lost`;
  return { contents, number, bytes: at, contentBytes, told: [told] };
}

function headerProblem(record: LogRecord): string {
  if (record.record !== "header") return "a log begins with a header, and this is none";
  if (record.format === LOG_FORMAT) return "";
  return `the log has format ${record.format}, this version knows format ${LOG_FORMAT} and must not touch it`;
}

function whatToDo(path: string, at: number, { revision }: Contents): string {
  return `nothing was changed. Restore a backup, start a version that knows it, or go on from revision ${revision} and lose what came later: truncate --size=${at} ${path}`;
}

function beforeIt(directory: string, number: number, before: number): string {
  return `restore a backup, or move ${logName(number)} away: ${join(directory, logName(before))} has everything up to the moment at which this log was begun`;
}
