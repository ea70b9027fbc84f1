import { problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import type { Asked } from "../../admin/route.ts";

/** Levels of nesting; resources need five. */
const DEPTH_MAX = 32;

/** A JSON object from a body, or why it is none. */
export function readObject(
  body: Buffer,
  { headers }: Asked,
  contentTypes: readonly string[],
): { readonly fields: Readonly<Record<string, unknown>> } | { readonly refused: Answer } {
  const given = (headers["content-type"] ?? "").split(";")[0]?.trim().toLowerCase() ?? "";
  if (!contentTypes.includes(given)) {
    const what = given === "" ? "the request has no Content-Type" : `the body is ${JSON.stringify(given)}`;
    const accepted = contentTypes.join(", ");
    return { refused: problemAnswer(415, `${what}; send it as ${contentTypes[0]}`, {}, { accept: accepted }) };
  }
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch (error) {
    const why = error instanceof SyntaxError ? error.message.slice(0, 200) : "it is not UTF-8";
    const what = body.length === 0 ? "the request has no body; send a JSON object" : `the body is not JSON: ${why}`;
    return { refused: problemAnswer(400, what) };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    const got = Array.isArray(value) ? "a list" : value === null ? "null" : `a ${typeof value}`;
    return { refused: problemAnswer(400, `the body is ${got}; send a JSON object`) };
  }
  const fault = faultOf(value);
  if (fault !== undefined) return { refused: problemAnswer(400, fault) };
  return { fields: value as Readonly<Record<string, unknown>> };
}

/** What no part of a body may have. Not recursive: the body may be as deep as it is long. */
function faultOf(root: object): string | undefined {
  let level: unknown[] = [root];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > DEPTH_MAX) return `the body is nested more than ${DEPTH_MAX} levels deep; flatten it`;
    const next: unknown[] = [];
    for (const value of level) {
      if (typeof value !== "object" || value === null) continue;
      if (Object.hasOwn(value, "__proto__")) return "a field cannot be called __proto__; write another name";
      for (const inside of Object.values(value)) if (typeof inside === "object" && inside !== null) next.push(inside);
    }
    level = next;
  }
  return undefined;
}
