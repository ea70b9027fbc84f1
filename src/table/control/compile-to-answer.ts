import { compileFed } from "../../feed/compile-fed.ts";
import type { TableDocument } from "../../routing/document.ts";
import type { LoadAnswer } from "../load-bytes.ts";

/** `compileFed` as a loader's answer. Never throws. */
export function compileToAnswer(document: TableDocument): LoadAnswer {
  try {
    const compiled = compileFed(document);
    const { digest } = compiled;
    if (!compiled.ok) return { result: "invalid", digest, problems: compiled.problems };
    return { result: "loaded", digest, image: compiled.image, warnings: compiled.warnings };
  } catch (error) {
    // A failed self-check, or a bug: nothing of that may end a process that has a good table.
    return { result: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}
