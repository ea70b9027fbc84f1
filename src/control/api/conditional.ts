import { problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import type { IfMatch } from "../plans.ts";

/** What a write is conditional on. */
export interface Precondition {
  readonly ifMatch: IfMatch;
  /** `If-None-Match: *`: only where nothing is. */
  readonly onlyNew: boolean;
}

/**
 * Reads If-Match and If-None-Match (RFC 9110 §13.1.1, §13.1.2). A version in the body counts as If-Match, so that what was read can be
 * sent back changed. Weak tags never match; neither does what is no version.
 */
export function readPrecondition(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  version: unknown,
): Precondition | { readonly refused: Answer } {
  const match = String(headers["if-match"] ?? "").trim();
  const none = String(headers["if-none-match"] ?? "").trim();
  if (none !== "" && none !== "*") {
    return {
      refused: problemAnswer(
        400,
        `If-None-Match is ${JSON.stringify(none.slice(0, 100))}; only * means something here`,
      ),
    };
  }
  const onlyNew = none === "*";
  if (version !== undefined && (typeof version !== "number" || !Number.isSafeInteger(version) || version < 0)) {
    return { refused: problemAnswer(422, "version is not a version; send the one that was read, or leave it out") };
  }
  if (match === "") return { ifMatch: version === undefined ? undefined : [version], onlyNew };
  if (match === "*") return { ifMatch: "any", onlyNew };
  const tags = match.split(",").map((tag) => tag.trim());
  if (tags.some((tag) => !/^(?:W\/)?"[\x21\x23-\x7e]*"$/u.test(tag))) {
    const detail = `If-Match is ${JSON.stringify(match.slice(0, 100))}; write it as "17", the ETag of an answer, in quotes`;
    return { refused: problemAnswer(400, detail) };
  }
  return { ifMatch: tags.flatMap((tag) => (/^"[0-9]{1,15}"$/u.test(tag) ? [Number(tag.slice(1, -1))] : [])), onlyNew };
}
