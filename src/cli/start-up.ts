// What a sidecar needs before it can start: its config and its first table, read by a process of its own that is gone
// afterwards. YAML and schemas are a third of the memory of a sidecar that parses them itself, and it would need them again
// only when the table changes, for which there is a process too (src/table/load-off-loop.ts).

import { RefusedError } from "../base/refused-error.ts";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { PreloadedTable } from "../table/file-source.ts";
import { type ChildHead, answerOf } from "../table/load-off-loop.ts";

/** What the process writes: one line of JSON, then the image of the table if there is one. */
export type StartUpHead =
  | { readonly ok: false; readonly problems: readonly string[] }
  | {
      readonly ok: true;
      readonly config: ProxyConfig;
      readonly warnings: readonly string[];
      readonly fingerprint: string;
      /** Absent when the file could not be read (the table source says why, better), and when the table comes from elsewhere. */
      readonly table?: ChildHead;
    };

/** Everything a sidecar starts from. */
export interface StartUp {
  readonly config: ProxyConfig;
  /** One line each. */
  readonly warnings: readonly string[];
  readonly preloaded: PreloadedTable | undefined;
}

/** Larger than any table image. */
const OUTPUT_BYTES_MAX = 2 ** 31 - 1;
const NEWLINE = 0x0a;

const program = fileURLToPath(
  new URL(import.meta.url.endsWith(".ts") ? "./start-up-child.ts" : "./start-up-child.js", import.meta.url),
);

/**
 * Reads config and table. Nothing is served yet, so waiting is the simplest.
 *
 * @throws RefusedError with one line per problem when the config is bad.
 */
export function readStartUp(file: string, content: Uint8Array): StartUp {
  const child = spawnSync(process.execPath, [program, file], {
    input: content,
    maxBuffer: OUTPUT_BYTES_MAX,
    stdio: ["pipe", "pipe", "pipe"],
    // What is preloaded or inspected here has no business there.
    env: { ...process.env, NODE_OPTIONS: "" },
  });
  const { stdout } = child;
  const end = child.status === 0 ? stdout.indexOf(NEWLINE) : -1;
  if (end === -1) {
    const cause = child.error?.message ?? `it ended with ${child.signal ?? `exit code ${child.status}`}`;
    throw new Error(`the process that reads ${file} failed: ${cause}\n${child.stderr?.toString() ?? ""}`.trimEnd());
  }
  const head = JSON.parse(stdout.toString("utf8", 0, end)) as StartUpHead; // our own program wrote it
  if (!head.ok) throw new RefusedError(head.problems.join("\n"));
  const { config, warnings, fingerprint, table } = head;
  if (table === undefined) return { config, warnings, preloaded: undefined };
  // A copy, so that the image does not keep the whole output alive.
  const image = new Uint8Array(stdout.subarray(end + 1)).buffer;
  return { config, warnings, preloaded: { fingerprint, answer: answerOf(table, image) } };
}
