import { fileURLToPath } from "node:url";
import type { Candidate } from "../../feed/fed-table.ts";
import type { LoadAnswer } from "../load-bytes.ts";
import { answerOffLoop } from "../load-off-loop.ts";
import { compileToAnswer } from "./compile-to-answer.ts";

/** Services, sandboxes and groups that are compiled in this process: some milliseconds. More of them go to a process of their own. */
const INLINE_ENTRIES_MAX = 200;
/** Few entries can be long ones: 2,000 endpoints. */
const INLINE_LENGTH_MAX = 64 * 1024;
/** As for files (load-off-loop.ts): with more the requests go first. */
const PROMPT_ENTRIES_MAX = 2000;

/** Runs as source (.ts, by type stripping) and as compiled (.js). */
const program = [
  fileURLToPath(
    new URL(import.meta.url.endsWith(".ts") ? "./compile-child.ts" : "./compile-child.js", import.meta.url),
  ),
];

/** Compiles what is fed. Never rejects. */
export async function loadFed(candidate: Candidate, signal: AbortSignal): Promise<LoadAnswer> {
  const isSmall = candidate.size <= INLINE_ENTRIES_MAX && candidate.length <= INLINE_LENGTH_MAX;
  if (isSmall) return compileToAnswer(candidate.document());
  return answerOffLoop({ program, input: candidate.pieces(), prompt: candidate.size <= PROMPT_ENTRIES_MAX }, signal);
}
