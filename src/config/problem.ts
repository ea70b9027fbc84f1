import { assert } from "../base/assert.ts";
import type { Finding } from "../routing/finding.ts";
import type { SourceMap } from "./yaml.ts";

/** A place in a file; line and column count from 1. Line 0: the whole of `file`, which may be an environment variable. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** Something wrong with a file: what, why, and what to write instead. Printed by `formatProblem`. */
export interface Problem extends Position {
  /** What is wrong; names the second place when there is one. */
  readonly message: string;
  readonly why?: string;
  /** What to write instead. */
  readonly hint?: string;
  /** The second place of a contradiction. */
  readonly other?: Position;
}

/** `file:line:column: what, why, what to write instead` */
export function formatProblem(problem: Problem): string {
  const parts = [problem.message, problem.why, problem.hint].filter((part) => part !== undefined);
  return `${formatPosition(problem)}: ${parts.join(", ")}`;
}

/** `file:line:column`, or the file alone when the problem is with the whole of it. */
export function formatPosition(position: Position): string {
  return position.line === 0 ? position.file : `${position.file}:${position.line}:${position.column}`;
}

/** Turns places in a document into places in its file. */
export function toProblems(findings: readonly Finding[], source: SourceMap): readonly Problem[] {
  const places = findings.flatMap(({ place, other }) => (other === undefined ? [place] : [place, other]));
  const positions = source.locate(places).values();
  const next = (): Position => {
    const { value } = positions.next();
    assert(value !== undefined, "each place has a position");
    return value;
  };
  return findings.map(({ message, why, hint, other }) => {
    const first = next();
    const second = other === undefined ? undefined : next();
    return {
      ...first,
      message: second === undefined ? message : `${message} (see ${formatPosition(second)})`,
      ...(why === undefined ? {} : { why }),
      ...(hint === undefined ? {} : { hint }),
      ...(second === undefined ? {} : { other: second }),
    };
  });
}

/** Problems in the order in which the reader meets them: the environment's first, then down the file. */
export function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return problems.toSorted((a, b) => a.line - b.line || a.column - b.column);
}
