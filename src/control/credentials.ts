// Who is who, by the tokens file, by `auth.certificates` and by `auth.kubernetes`. Guarantees:
//
// - A tokens file that is missing, half written or wrong changes nothing while the process runs, and is told of once.
// - How long a comparison takes says nothing about a token: digests are compared, all of them, in constant time.

import { createHash, timingSafeEqual } from "node:crypto";
import type { Log } from "../base/log.ts";
import type { AuthConfig, CertificateRole } from "../config/control-config.ts";
import { formatProblem } from "../config/problem.ts";
import { readTokens, tokenDigest } from "../config/tokens-file.ts";
import type { KnownToken } from "../config/tokens-file.ts";
import { FollowedFiles, readSmallFile } from "../proxy/followed-files.ts";
import type { FollowTimes, Look } from "../proxy/followed-files.ts";
import type { Authority, Identification } from "./auth.ts";
import { KubernetesTokens } from "./kubernetes-tokens.ts";
import type { TokenReviewer } from "./kubernetes-tokens.ts";

const FILE_BYTES_MAX = 1024 * 1024;
const PROBLEMS_SHOWN_MAX = 5;

/** What it needs. */
export interface CredentialsOptions extends FollowTimes {
  readonly auth: AuthConfig;
  /** By which other replicas are known: `ReplicaRecord.secret` of this one. */
  readonly replicaSecret: string;
  readonly log: Log;
  /** With `auth.kubernetes`: who asks the API server. */
  readonly reviewer?: TokenReviewer | undefined;
}

interface TokensLook extends Look {
  readonly tokens: readonly KnownToken[];
}

/** Nobody can be told from anybody: the tokens file cannot be used, at the start. `message` says why, one line per problem. */
class CredentialsError extends Error {
  override readonly name = "CredentialsError";
}

export class Credentials implements Authority {
  readonly #open: boolean;
  readonly #certificates: readonly CertificateRole[];
  readonly #file: string | undefined;
  readonly #replica: Buffer;
  readonly #files: FollowedFiles<TokensLook> | undefined;
  readonly #kubernetes: KubernetesTokens | undefined;
  #tokens: readonly KnownToken[] = [];

  constructor({ auth, replicaSecret, log, reviewer, ...times }: CredentialsOptions) {
    this.#open = auth.kind === "none";
    const kubernetes = auth.kind === "none" ? undefined : auth.kubernetes;
    if (kubernetes !== undefined && reviewer !== undefined) {
      this.#kubernetes = new KubernetesTokens(kubernetes, reviewer, log);
    }
    this.#certificates = auth.kind === "none" ? [] : auth.certificates;
    this.#file = auth.kind === "none" ? undefined : auth.tokens;
    this.#replica = tokenDigest(replicaSecret);
    const file = this.#file;
    if (file === undefined) return;
    const user = {
      look: () => lookAt(file),
      apply: ({ tokens }: TokensLook): void => {
        this.#tokens = tokens;
        log.info("tokens reloaded", { file, tokens: tokens.length });
      },
      refused: (why: string): void =>
        log.error("the tokens file cannot be used, the tokens before stay", { file, why }),
      restored: (): void => log.info("the tokens file can be used again", { file }),
    };
    this.#files = new FollowedFiles(user, times);
  }

  /** Reads the tokens file and follows it from now on; rejects with a `CredentialsError`. */
  async start(): Promise<void> {
    if (this.#file === undefined || this.#files === undefined) return;
    const look = await lookAt(this.#file);
    if (look.fault !== undefined) throw new CredentialsError(look.fault);
    this.#tokens = look.tokens;
    this.#files.start(look);
  }

  close(): void {
    this.#files?.close();
  }

  /** Why the newest content of the tokens file is not in use. */
  get problem(): string | undefined {
    return this.#files?.error;
  }

  identify(
    bearer: string | undefined,
    certificateName: string | undefined,
    peer = "",
  ): Identification | Promise<Identification> {
    if (bearer !== undefined) {
      const digest = tokenDigest(bearer);
      if (timingSafeEqual(digest, this.#replica)) return { name: "replica", role: "viewer", replica: true };
      const known = find(this.#tokens, digest);
      if (known !== undefined) return { name: known.name, role: known.role, replica: false };
      if (this.#kubernetes?.mayKnow(bearer) === true) return this.#kubernetes.identify(bearer, peer);
      // Where nobody is asked a token is no mistake: the client has one for another control plane.
      if (!this.#open) return { refused: "the token is not known here; check that it is this control plane's" };
    } else if (certificateName !== undefined) {
      const entry = this.#certificates.find(({ name }) => name === "*" || name === certificateName);
      if (entry !== undefined) return { name: certificateName, role: entry.role, replica: false };
      if (!this.#open) {
        return { refused: `auth.certificates has no role for ${JSON.stringify(certificateName.slice(0, 100))}` };
      }
    }
    if (this.#open) return { name: "anonymous", role: "editor", replica: false };
    return { refused: `this control plane wants to know who asks: ${this.#wanted()}` };
  }

  #wanted(): string {
    const token = "send Authorization: Bearer TOKEN";
    const certificate = "show a client certificate";
    if (this.#file === undefined && this.#kubernetes === undefined) return certificate;
    return this.#certificates.length === 0 ? token : `${token}, or ${certificate}`;
  }
}

/** Looks at all, so that the time does not depend on which it is. */
function find(tokens: readonly KnownToken[], digest: Buffer): KnownToken | undefined {
  let found: KnownToken | undefined;
  for (const token of tokens) if (timingSafeEqual(token.sha256, digest)) found = token;
  return found;
}

async function lookAt(file: string): Promise<TokensLook> {
  const read = await readSmallFile(file, FILE_BYTES_MAX, "tokens file");
  if (!read.ok) return { fault: `${file} ${read.problem}`, digest: read.problem, tokens: [] };
  const digest = createHash("sha256").update(read.bytes).digest("hex");
  const result = readTokens(read.bytes.toString("utf8"), file);
  if (result.ok) return { fault: undefined, digest, tokens: result.tokens };
  const lines = result.problems.map(formatProblem);
  const more = lines.length > PROBLEMS_SHOWN_MAX ? [`${lines.length - PROBLEMS_SHOWN_MAX} more`] : [];
  return { fault: [...lines.slice(0, PROBLEMS_SHOWN_MAX), ...more].join("\n"), digest, tokens: [] };
}
