// The last good table on disk, so that a sidecar can start while its control plane is away. Guarantees: the file is whole at every
// moment, whatever ends the process; what is damaged, or was kept for another service or scope, is never used.
//
// It is a table file as people write it, with a first line that says where it comes from:
// # sidelane table feed: {"source":"...","revision":17,"service":"checkout","scope":{...},"digest":"..."}

import { mkdir, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { fedDigest } from "../../feed/compile-fed.ts";
import type { Candidate } from "../../feed/fed-table.ts";
import type { Scope } from "../../feed/messages.ts";
import type { TableDocument } from "../../routing/document.ts";
import { errorCode, readTableFile } from "../read-file.ts";

const MARK = "# sidelane table feed: ";
const NEWLINE = 0x0a;

/** For whom a table is kept. */
export interface KeptFor {
  readonly service: string;
  readonly scope: Scope;
}

/** What was kept. */
export type KeptTable =
  | { readonly kind: "kept"; readonly source: string; readonly revision: number; readonly document: TableDocument }
  | { readonly kind: "none" }
  /** There is one, and why it is of no use: a sentence that begins with the name of the file. */
  | { readonly kind: "unusable"; readonly why: string };

interface Head extends KeptFor {
  readonly source: string;
  readonly revision: number;
  readonly digest: string;
}

/** Reads it. Never rejects. */
export async function readKept(file: string, { service, scope }: KeptFor, bytesMax: number): Promise<KeptTable> {
  const read = await readTableFile(file, bytesMax);
  if (!read.ok) return read.kind === "missing" ? { kind: "none" } : { kind: "unusable", why: read.message };
  const unusable = (why: string): KeptTable => ({ kind: "unusable", why: `${file} ${why}` });
  try {
    const bytes = Buffer.from(read.bytes.buffer, read.bytes.byteOffset, read.bytes.length);
    const end = bytes.indexOf(NEWLINE);
    const first = bytes.toString("utf8", 0, end === -1 ? 0 : end);
    if (!first.startsWith(MARK)) return unusable("is no table that a sidecar has kept");
    const head = JSON.parse(first.slice(MARK.length)) as Head; // what is not in it is compared with as undefined
    if (head.service !== service) return unusable(`was kept for service ${head.service}`);
    if (JSON.stringify(head.scope) !== JSON.stringify(scope))
      return unusable("was kept for another choice of table.services");
    const document = JSON.parse(bytes.toString("utf8", end + 1)) as TableDocument; // checked by its digest
    const { services, sandboxes, groups } = document;
    if (![services, sandboxes, groups].every(isMap) || fedDigest(document) !== head.digest)
      return unusable("is damaged, or was changed by hand");
    return { kind: "kept", source: head.source, revision: head.revision, document };
  } catch {
    return unusable("is damaged");
  }
}

function isMap(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Writes the newest table to the file, one at a time. */
export class KeptFile {
  readonly #file: string;
  readonly #for: KeptFor;
  readonly #onFailure: (message: string) => void;
  #next: { readonly candidate: Candidate; readonly digest: string } | undefined = undefined;
  #running: Promise<void> | undefined = undefined;

  /** @param onFailure called for each table that could not be kept. */
  constructor(file: string, keptFor: KeptFor, onFailure: (message: string) => void) {
    this.#file = file;
    this.#for = keptFor;
    this.#onFailure = onFailure;
  }

  /** Keeps the table, unless another one comes before its turn. */
  keep(candidate: Candidate, digest: string): void {
    this.#next = { candidate, digest };
    this.#running ??= this.#run();
  }

  /** Resolves when nothing is being written. */
  async settled(): Promise<void> {
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let next = this.#next; next !== undefined; next = this.#next) {
      this.#next = undefined;
      try {
        await this.#write(next.candidate, next.digest);
      } catch (error) {
        this.#onFailure(`${this.#file} cannot be written (${errorCode(error)})`);
      }
    }
    this.#running = undefined;
  }

  /** Beside, then renamed over: a reader sees the old table or the new one. */
  async #write(candidate: Candidate, digest: string): Promise<void> {
    const { service, scope } = this.#for;
    const { source, revision } = candidate;
    const head: Head = { source, revision, service, scope, digest };
    const folder = dirname(this.#file);
    const beside = `${this.#file}.new`;
    // Not recursive: Node would try for ever where the kernel says ENOENT, as in /proc.
    await mkdir(folder).catch(() => {}); // there already, or opening says why not
    try {
      const handle = await open(beside, "w", 0o644);
      try {
        await handle.appendFile(`${MARK}${JSON.stringify(head)}\n`);
        for (const piece of candidate.pieces()) await handle.appendFile(piece);
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(beside, this.#file);
    } catch (error) {
      await rm(beside, { force: true });
      throw error;
    }
    // The rename itself, so that it outlives the machine too.
    const handle = await open(folder, "r");
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
}
