import { loadTable, tableDigest } from "../config/load-table.ts";
import { formatProblem } from "../config/problem.ts";
import type { TableImage } from "../routing/table-image.ts";

/** One table file to load. */
export interface LoadJob {
  /** The name for messages. */
  readonly file: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Digests of contents whose outcome is known already; they are not parsed again. */
  readonly knownDigests: readonly string[];
}

/** What became of a job. Data only, so that it can come from another process. */
export type LoadAnswer =
  | { readonly result: "known"; readonly digest: string }
  | {
      readonly result: "loaded";
      readonly digest: string;
      readonly image: TableImage;
      readonly warnings: readonly string[];
      /** Milliseconds of processor time, where another process took them. */
      readonly cpuMs?: number;
    }
  /** The content is not a valid table; one line per problem, never none. */
  | { readonly result: "invalid"; readonly digest: string; readonly problems: readonly string[] }
  /** The loader itself failed, whatever the content. */
  | { readonly result: "failed"; readonly message: string };

/** Bytes -> digest -> parse, validate, compile, self-check. Touches nothing outside; never throws. */
export function loadBytes(job: LoadJob): LoadAnswer {
  const digest = tableDigest(job.bytes);
  if (job.knownDigests.includes(digest)) return { result: "known", digest };
  try {
    const loaded = loadTable(job.bytes, job.file);
    if (!loaded.ok) return { result: "invalid", digest, problems: loaded.problems.map(formatProblem) };
    return { result: "loaded", digest, image: loaded.image, warnings: loaded.warnings.map(formatProblem) };
  } catch (error) {
    // A failed self-check, or a bug: nothing of that may end a process that has a good table.
    return { result: "failed", message: error instanceof Error ? error.message : String(error) };
  }
}
