import { RefusedError } from "../../base/refused-error.ts";
import { assert } from "../../base/assert.ts";
import { loadConfig } from "../../config/load-config.ts";
import { formatProblem } from "../../config/problem.ts";
import type { SigningKey } from "../../protocol/signed-key/signing-key.ts";
import { type Verified, namedSigner, verifyKey } from "../../protocol/signed-key/verify-key.ts";
import { MisuseError } from "../command.ts";
import type { ExitCode, FlagValues } from "../command.ts";
import { readFile } from "../read-file.ts";
import { readKeyFile, readSidecarKeyFile } from "./key-file.ts";

/** A key and the file it is from. */
interface KnownKey {
  readonly key: SigningKey;
  readonly file: string;
}

/** `sidelane key verify`: prints what a signed key is good for, or refuses with the reason. `nowMs`: since the epoch. */
export function verifyCommand(token: string, flags: FlagValues, nowMs: number = Date.now()): ExitCode {
  const known = knownKeys(token, flags);
  const bytes = Buffer.from(token);
  const nowSeconds = Math.floor(nowMs / 1000);
  // Each by itself: several files may be called by the one name that the token says.
  const outcomes = known.map(({ key, file }) => ({
    key,
    file,
    verified: verifyKey(bytes, 0, bytes.length, [key], nowSeconds),
  }));
  const good = outcomes.find(({ verified }) => verified.ok);
  if (good?.verified.ok !== true) {
    const { why, detail } = mostTelling(outcomes.map(({ verified }) => verified));
    throw new RefusedError(`${why}: ${misnamedSigner(bytes, known, namedSigner(token) ?? "", nowSeconds) ?? detail}`);
  }
  const { key, expiresAtSeconds } = good.verified;
  process.stdout.write(
    `key        ${key}\n` +
      `expires    ${timeText(expiresAtSeconds)}, in ${durationText(expiresAtSeconds - nowSeconds)}\n` +
      `signed by  ${good.key.id} (${good.key.algorithm}, ${good.file})\n`,
  );
  return 0;
}

function knownKeys(token: string, flags: FlagValues): readonly KnownKey[] {
  const files = (flags["key"] ?? []) as readonly string[];
  const config = flags["config"] as string | undefined;
  if ((files.length === 0) === (config === undefined)) {
    throw new MisuseError("error: say what to verify it with: --key <file>, or --config <file> of a sidecar");
  }
  if (config !== undefined) return keysOfConfig(config);
  // A token that names no signing key is refused for that, whatever this one is called.
  const id = namedSigner(token) ?? "";
  return files.map((file) => ({ key: readKeyFile(id, undefined, file), file }));
}

function keysOfConfig(config: string): readonly KnownKey[] {
  const result = loadConfig(readFile(config).toString("utf8"), config, process.env);
  if (!result.ok) throw new RefusedError(result.problems.map(formatProblem).join("\n"));
  const { signedBy } = result.config.tenancy.edge;
  if (signedBy.length === 0) {
    throw new RefusedError(`${config}: tenancy.edge.signedBy is empty, so this sidecar asks for no signed keys`);
  }
  return signedBy.map(({ id, algorithm, file }) => ({ key: readSidecarKeyFile(id, algorithm, file), file }));
}

type Refusal = Extract<Verified, { readonly ok: false }>;

/** Of several refusals the one that came furthest. */
function mostTelling(outcomes: readonly Verified[]): Refusal {
  const order = ["expired", "bad-signature", "unknown-signer", "malformed"];
  const refusals = outcomes.flatMap((one) => (one.ok ? [] : [one]));
  const [first] = refusals.toSorted((a, b) => order.indexOf(a.why) - order.indexOf(b.why));
  assert(first !== undefined, "there is a key to verify with");
  return first;
}

/** What went wrong where a key did sign the token, but under the id of another: the flag is forgotten easily. */
function misnamedSigner(
  bytes: Uint8Array,
  known: readonly KnownKey[],
  named: string,
  nowSeconds: number,
): string | undefined {
  const signer = known.find(({ key: { algorithm, id }, file }) => {
    if (id === named) return false;
    return verifyKey(bytes, 0, bytes.length, [readSidecarKeyFile(named, algorithm, file)], nowSeconds).ok;
  })?.key.id;
  if (signer === undefined) return undefined;
  return `The signed key says that ${named} signed it, and ${signer} did: sign with --id ${signer}`;
}

function timeText(seconds: number): string {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** The largest unit and, when it is not whole, the next. */
function durationText(seconds: number): string {
  const units = [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
    ["second", 1],
  ] as const;
  const counts = units.map(([unit, size], index) => {
    const count = Math.floor((seconds % (units[index - 1]?.[1] ?? Number.POSITIVE_INFINITY)) / size);
    return { count, text: `${count} ${unit}${count === 1 ? "" : "s"}` };
  });
  const first = counts.findIndex(({ count }) => count > 0);
  return counts
    .slice(first, first + 2)
    .filter(({ count }) => count > 0)
    .map(({ text }) => text)
    .join(", ");
}
