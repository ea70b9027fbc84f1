// Host patterns without quotes: `host: {key}--*` is a map to YAML, with something behind it that cannot be there. What the
// library says about that helps nobody, and of what it says behind it most is a consequence.

import type { Problem } from "./problem.ts";

/** A value with `{key}` in it that begins without a quote. */
const PATTERN = /: +(?!["'])([^\s,"'#]*\{key\}[^\s,}\]"'#]*)/giu;

/**
 * The complaints about a file, in its order, with one problem for each host pattern without quotes that there is a complaint
 * about; those behind the first such one are left out. Without such patterns they stay as they are.
 */
export function explainUnquotedPatterns(text: string, complaints: readonly Problem[]): readonly Problem[] {
  const lines = text.split("\n");
  const blamed = new Set(complaints.map(({ line }) => line));
  const patterns = [...blamed].flatMap((line) => patternsOf(lines[line - 1] ?? "", complaints[0]?.file ?? "", line));
  const [first] = patterns;
  if (first === undefined) return complaints;
  return [...complaints.filter((complaint) => isBefore(complaint, first)), ...patterns];
}

function patternsOf(text: string, file: string, line: number): readonly Problem[] {
  const [withoutComment = ""] = text.split(/(?:^|\s)#/u, 1);
  return [...withoutComment.matchAll(PATTERN)].map(({ 0: match, 1: pattern = "", index }) => ({
    file,
    line,
    column: index + match.length - pattern.length + 1,
    message: `${pattern} is not text`,
    why: "{ begins a map in YAML, and * an alias",
    hint: `write "${pattern}" in quotes`,
  }));
}

function isBefore(a: Problem, b: Problem): boolean {
  return a.line < b.line || (a.line === b.line && a.column < b.column);
}
