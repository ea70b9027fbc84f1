// The certificate, key and authority files of one listener or service, followed while they change (followed-files.ts).
// Guarantees besides those:
//
// - What is mismatched or has expired does not replace what is good.
// - The files are taken together: a certificate whose key has not arrived yet is waited for.

import { createHash } from "node:crypto";
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
import { type FollowTimes, FollowedFiles, type Look, readSmallFile } from "../followed-files.ts";

/** A bundle of all public authorities has 200 KiB. */
const BYTES_MAX = 4 * 1024 * 1024;

/** Where the files are; a listener has no `ca` when it asks for no certificates, a service may have none at all. */
export type PemPaths = { readonly [field in PemField]?: string };
/** What is in them. */
export type PemContents = { readonly [field in PemField]?: string };

/** What following files needs. */
export interface PemFilesDeps extends FollowTimes {
  readonly log: Log;
  readonly stats: TlsStats;
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

interface PemLook extends Look {
  readonly contents: PemContents;
  /** Nothing is wrong but the time. */
  readonly byTime: boolean;
}

/** The files of one listener or service. */
export class PemFiles {
  readonly name: string;
  readonly #paths: PemPaths;
  readonly #deps: PemFilesDeps;
  readonly #files: FollowedFiles<PemLook>;
  #subject: string | undefined;
  #notAfterMs: number | undefined;

  /** @param onChange takes new content into use; it has been checked. */
  constructor(name: string, paths: PemPaths, onChange: (contents: PemContents) => void, deps: PemFilesDeps) {
    this.name = name;
    this.#paths = paths;
    this.#deps = deps;
    const { log, stats } = deps;
    const user = {
      look: () => this.#look(),
      apply: ({ contents }: PemLook): void => {
        // It may throw, checked or not: OpenSSL knows more rules than we do (key sizes, algorithms).
        onChange(contents);
        this.#note(contents);
        stats.reloads.applied++;
        log.info("certificates reloaded", { for: name, subject: this.#subject });
      },
      refused: (why: string): void => {
        stats.reloads.rejected++;
        log.error("certificates cannot be used", { for: name, why, inUse: this.#subject });
      },
      restored: () => log.info("certificates are the ones in use again", { for: name }),
    };
    this.#files = new FollowedFiles(user, deps);
  }

  /** Reads the files and follows them from then on. Rejects with a sentence when they cannot be used. */
  async start(): Promise<PemContents> {
    const look = await this.#look();
    if (look.fault !== undefined && !look.byTime) throw new Error(`TLS of ${this.name}: ${look.fault}`);
    // A certificate that has expired is no reason to serve nobody; the clients that verify it refuse, and say why.
    if (look.fault !== undefined) {
      this.#deps.log.warn("certificates are in use that clients will refuse", { for: this.name, why: look.fault });
    }
    this.#note(look.contents);
    this.#files.start(look);
    return look.contents;
  }

  status(): PemStatus {
    const { error } = this.#files;
    return {
      name: this.name,
      ...(this.#subject === undefined ? {} : { subject: this.#subject }),
      ...(this.#notAfterMs === undefined ? {} : { notAfterMs: this.#notAfterMs }),
      ...(error === undefined ? {} : { error }),
    };
  }

  /** Follows the files no longer. */
  close(): void {
    this.#files.close();
    this.#deps.stats.notAfterMs.delete(this.name);
  }

  /** Tells whose certificate is in use. */
  #note({ certificate }: PemContents): void {
    if (certificate === undefined) return;
    const { subject, notAfterMs } = certificateFacts(certificate);
    this.#subject = subject;
    this.#notAfterMs = notAfterMs;
    this.#deps.stats.notAfterMs.set(this.name, notAfterMs);
  }

  /** One look at all files. Never throws. */
  async #look(): Promise<PemLook> {
    const texts: { [field in PemField]?: string } = {};
    const digest = createHash("sha256");
    let unread: string | undefined;
    for (const field of ["certificate", "key", "ca"] as const) {
      const file = this.#paths[field];
      if (file === undefined) continue;
      const read = await readSmallFile(file, BYTES_MAX, "certificate");
      const text = read.ok ? read.bytes.toString("latin1") : read.problem;
      digest.update(`${field} ${read.ok} ${text.length} ${text}\n`);
      if (read.ok) texts[field] = text;
      else unread ??= `${file} ${text}`;
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
