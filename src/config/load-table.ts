import { createHash, randomBytes } from "node:crypto";
import { compile } from "../routing/compile.ts";
import type { TableCounts, TableImage } from "../routing/compiled-table.ts";
import { CompiledTable } from "../routing/compiled-table.ts";
import type { TableDocument } from "../routing/document.ts";
import { selfCheck } from "../routing/self-check.ts";
import { FINDINGS_MAX, validate } from "../routing/validate.ts";
import { mistakenFile } from "./file-kind.ts";
import { tableJsonSchema } from "./json-schema.ts";
import { sortProblems, toProblems } from "./problem.ts";
import type { Problem } from "./problem.ts";
import { shapeFindings } from "./shape-problems.ts";
import { tableSchema } from "./table-schema.ts";
import { parseYaml } from "./yaml.ts";

/** A table ready for `new CompiledTable`, or everything that is wrong with the file. */
export type LoadTableResult =
  | {
      readonly ok: true;
      readonly image: TableImage;
      readonly warnings: readonly Problem[];
      /** First 12 hex digits of the SHA-256 of the file's bytes: `sha256sum routes.yaml | cut -c 1-12`. */
      readonly digest: string;
      readonly counts: TableCounts;
    }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** A table file as a document, checked; what `check` and `explain` need besides the compiled table. */
export type ReadTableResult =
  | { readonly ok: true; readonly document: TableDocument; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Parses, validates, compiles and self-checks a table file. Touches nothing outside, so that another process can run it
 * and send the image over.
 */
export function loadTable(content: string | Uint8Array, file: string): LoadTableResult {
  const read = readTable(content, file);
  if (!read.ok) return read;
  const seed = randomBytes(8);
  const image = compile(read.document, { low: seed.readInt32LE(0), high: seed.readInt32LE(4) });
  selfCheck(read.document, image);
  const digest = tableDigest(content);
  return { ok: true, image, warnings: read.warnings, digest, counts: new CompiledTable(image, 0, digest).counts };
}

/** What `CompiledTable.digest` is for a file of this content: tells without parsing whether a file has changed. */
export function tableDigest(content: string | Uint8Array): string {
  return createHash("sha256").update(content).digest("hex").slice(0, 12);
}

/** Parses and validates a table file. */
export function readTable(content: string | Uint8Array, file: string): ReadTableResult {
  const start = { file, line: 1, column: 1 };
  const text = decode(content);
  if (text === undefined)
    return { ok: false, problems: [{ ...start, message: "not UTF-8", hint: "save it as UTF-8" }] };
  const parsed = parseYaml(text, file);
  if (!parsed.ok) return parsed;
  if (parsed.value === null || parsed.value === undefined) {
    // A file that is being rewritten is empty for a moment: never take that for a table without sandboxes.
    const hint = "write services: {} for a table that knows nothing";
    return { ok: false, problems: [{ ...start, message: "the table is empty", hint }] };
  }
  const mistaken = mistakenFile(parsed.value, "table", file);
  if (mistaken !== undefined) return { ok: false, problems: [mistaken] };
  const shape = tableSchema.safeParse(parsed.value, { reportInput: false });
  if (!shape.success) {
    const { issues } = shape.error;
    const findings = shapeFindings(issues.slice(0, FINDINGS_MAX), parsed.value, tableJsonSchema(), parsed.source);
    const problems = toProblems(findings, parsed.source);
    return { ok: false, problems: withMore(problems, issues.length - FINDINGS_MAX, file, "problems") };
  }
  const checked = validate(shape.data);
  if (checked.problems.length > 0) {
    const problems = toProblems(checked.problems, parsed.source);
    return { ok: false, problems: withMore(problems, checked.problemsMore, file, "problems") };
  }
  const warnings = toProblems(checked.warnings, parsed.source);
  return {
    ok: true,
    document: shape.data,
    warnings: withMore(warnings, checked.warningsMore, file, "warnings"),
  };
}

function decode(content: string | Uint8Array): string | undefined {
  if (typeof content === "string") return content;
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(content);
  } catch {
    return undefined;
  }
}

function withMore(problems: readonly Problem[], more: number, file: string, what: string): readonly Problem[] {
  const sorted = sortProblems(problems);
  if (more <= 0) return sorted;
  return [...sorted, { file, line: 0, column: 0, message: `${more} more ${what} like these` }];
}
