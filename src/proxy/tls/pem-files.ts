// The certificate, key and authority files of one listener or service, followed while they change. Guarantees:
//
// - What has been found good stays in use until something better is there: a missing, half written, mismatched or expired
//   file changes nothing, and is told of once.
// - The files are taken together: a certificate whose key has not arrived yet is waited for.
// - The event loop never waits for a file.
//
// They are polled: certificates change every few weeks, reading three small files costs microseconds, and a poll sees every
// kind of replacement on every file system.

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import type { Log } from "../../base/log.ts";
import {
  type PemFault,
  type PemField,
  authoritiesFault,
  certificateFacts,
  keyPairFault,
  pemSentence,
  separated,
  validityFault,
} from "../../config/certificates.ts";
import type { TlsStats } from "../../telemetry/tls-stats.ts";

/** Between two looks. */
const POLL_MS = 5000;
/** Between the look that sees a change and the one that finds it standing still. */
const SETTLE_MS = 500;
/** A bundle of all public authorities has 200 KiB. */
const BYTES_MAX = 4 * 1024 * 1024;

/** Where the files are; a listener has no `ca` when it asks for no certificates, a service may have none at all. */
export type PemPaths = { readonly [field in PemField]?: string };
/** What is in them. */
export type PemContents = { readonly [field in PemField]?: string };

/** What following files needs. */
export interface PemFilesDeps {
  readonly log: Log;
  readonly stats: TlsStats;
  /** Tests: shorter times. */
  readonly pollMs?: number;
  readonly settleMs?: number;
}

/** For the admin server. */
export interface PemStatus {
  /** `listener inbound`, `upstream ledger`. */
  readonly name: string;
  /** Whose certificate it is; absent when there is none. */
  readonly subject?: string;
  /** End of its validity, milliseconds since the epoch. */
  readonly notAfterMs?: number;
  /** Why the newest content of the files is not in use. */
  readonly error?: string;
}

interface Look {
  readonly contents: PemContents;
  readonly fault: string | undefined;
  /** Nothing is wrong but the time. */
  readonly byTime: boolean;
  /** The same for the same content. */
  readonly digest: string;
}

/** The files of one listener or service. */
export class PemFiles {
  readonly name: string;
  readonly #paths: PemPaths;
  readonly #deps: PemFilesDeps;
  readonly #onChange: (contents: PemContents) => void;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** Digest of what is in use. */
  #used = "";
  /** Digest that the previous look saw, when it was another one. */
  #seen = "";
  #error: string | undefined;
  /** What is in use has expired: there was nothing better to start with. */
  #faultOfUsed: string | undefined;
  #subject: string | undefined;
  #notAfterMs: number | undefined;

  /** @param onChange takes new content into use; it has been checked. */
  constructor(name: string, paths: PemPaths, onChange: (contents: PemContents) => void, deps: PemFilesDeps) {
    this.name = name;
    this.#paths = paths;
    this.#onChange = onChange;
    this.#deps = deps;
  }

  /** Reads the files and follows them from then on. Rejects with a sentence when they cannot be used. */
  async start(): Promise<PemContents> {
    const look = await this.#look();
    if (look.fault !== undefined && !look.byTime) throw new Error(`TLS of ${this.name}: ${look.fault}`);
    // A certificate that has expired is no reason to serve nobody; the clients that verify it refuse, and say why.
    if (look.fault !== undefined) {
      this.#error = look.fault;
      this.#deps.log.warn("certificates are in use that clients will refuse", { for: this.name, why: look.fault });
    }
    this.#use(look);
    this.#schedule(false);
    return look.contents;
  }

  status(): PemStatus {
    return {
      name: this.name,
      ...(this.#subject === undefined ? {} : { subject: this.#subject }),
      ...(this.#notAfterMs === undefined ? {} : { notAfterMs: this.#notAfterMs }),
      ...(this.#error === undefined ? {} : { error: this.#error }),
    };
  }

  /** Follows the files no longer. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#deps.stats.notAfterMs.delete(this.name);
  }

  #schedule(soon: boolean): void {
    if (this.#closed) return;
    const { pollMs = POLL_MS, settleMs = SETTLE_MS } = this.#deps;
    this.#timer = setTimeout(() => void this.#poll(), soon ? settleMs : pollMs);
    this.#timer.unref();
  }

  async #poll(): Promise<void> {
    const look = await this.#look();
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

  #apply(look: Look): void {
    try {
      this.#onChange(look.contents);
    } catch (error) {
      // Checked and refused all the same: OpenSSL knows more rules than we do (key sizes, algorithms).
      this.#refuse(error instanceof Error ? error.message : String(error));
      return;
    }
    this.#seen = "";
    this.#error = undefined;
    this.#use(look);
    this.#deps.stats.reloads.applied++;
    this.#deps.log.info("certificates reloaded", { for: this.name, subject: this.#subject });
  }

  #refuse(why: string): void {
    if (why === this.#error) return;
    this.#deps.stats.reloads.rejected++;
    this.#report(why);
  }

  #report(why: string): void {
    this.#error = why;
    this.#deps.log.error("certificates cannot be used", { for: this.name, why, inUse: this.#subject });
  }

  /** What was in use is what the files hold again. An error of the time alone stays: the content is the same. */
  #clearError(): void {
    if (this.#error === undefined || this.#faultOfUsed !== undefined) return;
    this.#error = undefined;
    this.#deps.log.info("certificates are the ones in use again", { for: this.name });
  }

  #use(look: Look): void {
    this.#used = look.digest;
    this.#faultOfUsed = look.fault;
    const { certificate } = look.contents;
    if (certificate === undefined) return;
    const { subject, notAfterMs } = certificateFacts(certificate);
    this.#subject = subject;
    this.#notAfterMs = notAfterMs;
    this.#deps.stats.notAfterMs.set(this.name, notAfterMs);
  }

  /** One look at all files. Never throws. */
  async #look(): Promise<Look> {
    const texts: { [field in PemField]?: string } = {};
    const digest = createHash("sha256");
    let unread: string | undefined;
    for (const field of ["certificate", "key", "ca"] as const) {
      const file = this.#paths[field];
      if (file === undefined) continue;
      const read = await readPem(file);
      digest.update(`${field} ${read.ok} ${read.text.length} ${read.text}\n`);
      if (read.ok) texts[field] = read.text;
      else unread ??= `${file} ${read.text}`;
    }
    const fault = unread === undefined ? this.#faultOf(texts) : null;
    const { certificate, key, ca } = texts;
    return {
      contents: {
        ...(certificate === undefined ? {} : { certificate: separated(certificate) }),
        ...(key === undefined ? {} : { key }),
        ...(ca === undefined ? {} : { ca: separated(ca) }),
      },
      fault: unread ?? (fault === null ? undefined : pemSentence(this.#paths[fault.field] ?? "", fault)),
      byTime: fault?.byTime === true,
      digest: digest.digest("base64"),
    };
  }

  #faultOf({ certificate, key, ca }: PemContents): PemFault | null {
    const ofPair = certificate === undefined || key === undefined ? null : keyPairFault(certificate, key);
    if (ofPair !== null) return ofPair;
    const ofCa = ca === undefined ? null : authoritiesFault(ca);
    // What is wrong with the content comes before what is wrong with the time.
    if (ofCa !== null && ofCa.byTime !== true) return ofCa;
    return (certificate === undefined ? null : validityFault(certificate)) ?? ofCa;
  }
}

/** Text of the file, or what is wrong with it. */
async function readPem(file: string): Promise<{ readonly ok: boolean; readonly text: string }> {
  try {
    // O_NONBLOCK: opening a FIFO would otherwise hold a thread of the pool until somebody writes to it.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) return { ok: false, text: "is not a file, name a file" };
      if (stats.size > BYTES_MAX) return { ok: false, text: `has ${stats.size} bytes, more than any certificate` };
      return { ok: true, text: await handle.readFile("latin1") };
    } finally {
      await handle.close();
    }
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return { ok: false, text: "does not exist" };
    if (code === "EACCES") {
      return { ok: false, text: "cannot be read, make it readable for the user that Sidelane runs as" };
    }
    return { ok: false, text: `cannot be read (${code ?? String(error)})` };
  }
}
