// The tokens file of the control plane: who may do what, and by which secret they are known. The secrets themselves do not stay in
// memory: what is compared are their SHA-256 digests.

import { createHash } from "node:crypto";
import { z } from "zod";
import { valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import { checkName } from "../routing/names.ts";
import { malformed, quote } from "./addresses.ts";
import type { Role } from "./control-config.ts";
import { sortProblems, toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import type { JsonSchema } from "./schema-fields.ts";
import { shapeFindings } from "./shape-problems.ts";
import { parseYaml } from "./yaml.ts";

/** One entry of the file. */
export interface KnownToken {
  /** As the audit log names whoever has it; distinct. */
  readonly name: string;
  readonly role: Role;
  /** Of the token. */
  readonly sha256: Buffer;
}

export type TokensResult =
  | { readonly ok: true; readonly tokens: readonly KnownToken[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Shorter ones can be tried out. */
const TOKEN_LENGTH_MIN = 16;
/** Names that the audit log has for others. */
const RESERVED: Readonly<Record<string, string | undefined>> = {
  sidelane: "the control plane itself",
  anonymous: "everybody without a name",
  replica: "other replicas",
};

const tokensSchema = z
  .array(
    z
      .strictObject({
        name: z.string().meta({ examples: ["ci"] }),
        role: z.enum(["sidecar", "viewer", "editor"]).meta({ examples: ["editor"] }),
        token: z
          .string()
          .optional()
          .meta({ examples: ["<secret>"] }),
        sha256: z
          .string()
          .optional()
          .meta({ examples: ["<hex>"] }),
      })
      .meta({ examples: [{ name: "ci", role: "editor", sha256: "<hex>" }] }),
  )
  .describe("Tokens of the control plane");

/** Reads the file; `file` is its path, for messages, none of which holds a token. */
export function readTokens(text: string, file: string): TokensResult {
  const parsed = parseYaml(text, file);
  if (!parsed.ok) return parsed;
  const shape = tokensSchema.safeParse(parsed.value, { reportInput: false });
  if (!shape.success) {
    const schema = z.toJSONSchema(tokensSchema, { target: "draft-7" }) as JsonSchema;
    const findings = shapeFindings(shape.error.issues, parsed.value, schema, parsed.source).map(withoutSecret);
    return { ok: false, problems: sortProblems(toProblems(findings, parsed.source)) };
  }
  const problems: Finding[] = [];
  const tokens = shape.data.map((entry, index) => toToken(entry, index, problems));
  for (const [index, { name, sha256 }] of tokens.entries()) {
    const sameName = tokens.findIndex((other) => other.name === name);
    if (sameName !== index) {
      const message = `two tokens are called ${name}`;
      const why = "the audit log could not tell them apart";
      const other = valueAt(sameName, "name");
      problems.push({ place: valueAt(index, "name"), other, message, why, hint: `write ${name}-2` });
    }
    const same = tokens.findIndex((other) => other.sha256.equals(sha256));
    if (same !== index && sha256.length > 0) {
      const message = `${name} and ${tokens[same]?.name} have one token`;
      const why = "nothing would tell them apart";
      problems.push({ place: valueAt(index), other: valueAt(same), message, why, hint: "make another one" });
    }
  }
  if (problems.length > 0) return { ok: false, problems: sortProblems(toProblems(problems, parsed.source)) };
  return { ok: true, tokens };
}

/** What is compared with `KnownToken.sha256`. */
export function tokenDigest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function toToken(entry: z.output<typeof tokensSchema>[number], index: number, problems: Finding[]): KnownToken {
  const { name, role, token, sha256 } = entry;
  const wrong = checkName(name);
  if (wrong !== undefined) problems.push(malformed([index, "name"], `${quote(name)} is not a name`, wrong));
  const reserved = Object.hasOwn(RESERVED, name) ? RESERVED[name] : undefined;
  if (reserved !== undefined) {
    const why = `the control plane calls ${reserved} so`;
    problems.push({
      place: valueAt(index, "name"),
      message: `${name} is a reserved name`,
      why,
      hint: `write ${name}-1`,
    });
  }
  if ((token === undefined) === (sha256 === undefined)) {
    const message = `${name} has ${token === undefined ? "neither token nor sha256" : "both token and sha256"}`;
    const hint = "write sha256: and the digest of the token, as printf %s TOKEN | sha256sum prints it";
    problems.push({ place: valueAt(index), message, why: "one of them says what the token is", hint });
    return { name, role, sha256: Buffer.alloc(0) };
  }
  if (token !== undefined) {
    checkToken(token, name, index, problems);
    return { name, role, sha256: tokenDigest(token) };
  }
  if (sha256 !== undefined && !/^[0-9a-f]{64}$/iu.test(sha256)) {
    const hint = "write what printf %s TOKEN | sha256sum prints";
    const message = `sha256 of ${name} is not a SHA-256 digest`;
    problems.push({ place: valueAt(index, "sha256"), message, why: "it has 64 hexadecimal digits", hint });
  }
  return { name, role, sha256: Buffer.from(sha256 ?? "", "hex") };
}

function checkToken(token: string, name: string, index: number, problems: Finding[]): void {
  const place = valueAt(index, "token");
  const hint = "make one with openssl rand -hex 32";
  if (token.length < TOKEN_LENGTH_MIN) {
    const message = `the token of ${name} has ${token.length} characters`;
    problems.push({ place, message, why: `one with fewer than ${TOKEN_LENGTH_MIN} can be guessed`, hint });
  } else if (!/^[A-Za-z0-9._~+/-]+=*$/u.test(token)) {
    // RFC 6750 §2.1
    const why = "letters, digits and -._~+/ can, and = at the end";
    problems.push({ place, message: `the token of ${name} has characters that no header can carry`, why, hint });
  }
}

const OPEN_FIELDS: readonly unknown[] = ["name", "role"];

/** Findings quote what stands in the place of something else, and here that may be a secret. */
function withoutSecret(finding: Finding): Finding {
  const field = finding.place.path.at(-1);
  if (finding.place.part === "name" || typeof field !== "string" || OPEN_FIELDS.includes(field)) return finding;
  return { place: finding.place, message: `${field} is not text`, hint: "put it in quotes" };
}
