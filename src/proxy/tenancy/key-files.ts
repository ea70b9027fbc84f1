// The files of `tenancy.edge.signedBy`, followed while they change (../followed-files.ts), each by itself: one that cannot be
// used keeps its last good key, and does not hold up the others.

import { createHash } from "node:crypto";
import type { Log } from "../../base/log.ts";
import type { SigningKeyConfig } from "../../config/proxy-config.ts";
import { readVerifyingKey } from "../../protocol/signed-key/read-signing-key.ts";
import { type SigningAlgorithm, SigningKey } from "../../protocol/signed-key/signing-key.ts";
import { type FollowTimes, FollowedFiles, type Look, readSmallFile } from "../followed-files.ts";
import { KeyVerifier } from "./key-verifier.ts";

const BYTES_MAX = 64 * 1024;

/** What following the files needs. */
export interface KeyFilesDeps extends FollowTimes {
  readonly log: Log;
  /** Counts what becomes of changes. */
  readonly reloads: { applied: number; rejected: number };
}

/** For the admin server. */
export interface KeyFileStatus {
  readonly id: string;
  readonly algorithm: SigningAlgorithm;
  /** Why the newest content of the file is not in use. */
  readonly error?: string;
}

/** All signing keys of a sidecar. */
export class KeyFiles {
  /** Knows the keys that the files hold now. */
  readonly verifier: KeyVerifier;
  readonly #followed: readonly FollowedKey[];

  /** Reads the files and follows them from then on. Rejects with a sentence when one of them cannot be used. */
  static async start(signedBy: readonly SigningKeyConfig[], deps: KeyFilesDeps): Promise<KeyFiles> {
    const followed = signedBy.map((one) => new FollowedKey(one, deps));
    try {
      for (const one of followed) await one.start();
    } catch (error) {
      for (const one of followed) one.close();
      throw error;
    }
    return new KeyFiles(followed);
  }

  private constructor(followed: readonly FollowedKey[]) {
    this.#followed = followed;
    this.verifier = new KeyVerifier(this.#keys());
    for (const one of followed) one.onChange = () => this.verifier.useKeys(this.#keys());
  }

  status(): readonly KeyFileStatus[] {
    return this.#followed.map((one) => one.status());
  }

  /** Follows the files no longer. */
  close(): void {
    for (const one of this.#followed) one.close();
  }

  #keys(): readonly SigningKey[] {
    return this.#followed.flatMap(({ key }) => key ?? []);
  }
}

interface KeyLook extends Look {
  readonly key: SigningKey | undefined;
}

class FollowedKey {
  /** In use; undefined before the start. */
  key: SigningKey | undefined;
  onChange: () => void = () => {};
  readonly #config: SigningKeyConfig;
  readonly #files: FollowedFiles<KeyLook>;

  constructor(config: SigningKeyConfig, deps: KeyFilesDeps) {
    this.#config = config;
    const { log, reloads } = deps;
    const { id, file } = config;
    const user = {
      look: () => this.#look(),
      apply: ({ key }: KeyLook): void => {
        this.key = key;
        reloads.applied++;
        log.info("signing key reloaded", { id, file });
        this.onChange();
      },
      refused: (why: string): void => {
        reloads.rejected++;
        log.error("signing key cannot be used, the last good one stays", { id, why });
      },
      restored: () => log.info("signing key is the one in use again", { id, file }),
    };
    this.#files = new FollowedFiles(user, deps);
  }

  async start(): Promise<void> {
    const look = await this.#look();
    if (look.fault !== undefined) throw new Error(`signing key ${this.#config.id}: ${look.fault}`);
    this.key = look.key;
    this.#files.start(look);
  }

  status(): KeyFileStatus {
    const { id, algorithm } = this.#config;
    const { error } = this.#files;
    return { id, algorithm, ...(error === undefined ? {} : { error }) };
  }

  close(): void {
    this.#files.close();
  }

  async #look(): Promise<KeyLook> {
    const { id, algorithm, file } = this.#config;
    const read = await readSmallFile(file, BYTES_MAX, "key");
    if (!read.ok) return { key: undefined, fault: `${file} ${read.problem}`, digest: `none ${read.problem}` };
    const digest = createHash("sha256").update(read.bytes).digest("base64");
    const key = readVerifyingKey(id, algorithm, read.bytes);
    if (key instanceof SigningKey) return { key, fault: undefined, digest };
    return { key: undefined, fault: `${file} ${key.problem}, ${key.hint}`, digest };
  }
}
