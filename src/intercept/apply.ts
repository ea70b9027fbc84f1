// Makes and removes the rules with the iptables that works here: the variant for nf_tables, else the legacy one. Which of them
// a node's kernel has says nobody but a try.
//
// Guarantees: a second run makes the same rules, a run with other ports replaces them; rules that an earlier run made with the
// other variant are removed, so that there is never a set of each. Nothing but iptables' own programs is run, and nothing is
// written to the file system, which may be read-only.

import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { RefusedError } from "../base/refused-error.ts";
import { failureText, privilegesOf } from "./failure.ts";
import type { Attempt } from "./failure.ts";
import type { Interception } from "./interception.ts";
import { findPresent, removalText, rulesText } from "./rules.ts";
import type { Family, Present } from "./rules.ts";

export const VARIANTS = ["nft", "legacy"] as const;
export type Variant = (typeof VARIANTS)[number];

/** How iptables is called. */
export interface Iptables {
  /** Which to try, in order. */
  readonly variants: readonly Variant[];
  /** Where its programs are found: `PATH`. */
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** What was done for a family of addresses. */
export interface Done {
  readonly family: Family;
  /** Undefined: nothing was to be done, or, for IPv6, it could not be and need not. */
  readonly variant: Variant | undefined;
  /** Why it was left out. */
  readonly note?: string;
}

/** Longer than a program waits for the lock. */
const PROGRAM_MS = 15_000;
const LOCK_SECONDS = "5";
/** Of what a program prints: a node's own rules could be many. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Makes the rules, for IPv6 too where there is any.
 *
 * @throws RefusedError when they cannot be made: no traffic may then go past the sidecar unnoticed, so the caller has to fail.
 */
export function intercept(interception: Interception, tools: Iptables): readonly Done[] {
  return families().map(({ family, needed }) => {
    const attempts: Attempt[] = [];
    for (const variant of tools.variants) {
      const present = presentOf(family, variant, tools, attempts);
      if (present === undefined) continue;
      if (!restore(family, variant, rulesText(interception, family, present), tools, attempts)) continue;
      for (const other of VARIANTS) if (other !== variant) removeOf(family, other, tools, []);
      return { family, variant };
    }
    const why = failureText(attempts, privilegesOf(processStatus()));
    if (needed) throw new RefusedError(family === 4 ? why : `IPv6: ${why}`);
    return { family, variant: undefined, note: `this machine has no IPv6 address that others could use; ${why}` };
  });
}

/**
 * Removes what `intercept` has made, by whichever variant.
 *
 * @throws RefusedError when there are rules that cannot be removed, and when nothing here can say whether there are.
 */
export function removeInterception(tools: Iptables): readonly Done[] {
  return families().flatMap(({ family, needed }) => {
    const attempts: Attempt[] = [];
    const removed = tools.variants.filter((variant) => removeOf(family, variant, tools, attempts) === "removed");
    const failed = attempts.length === tools.variants.length && removed.length === 0;
    if (failed && needed) throw new RefusedError(failureText(attempts, privilegesOf(processStatus())));
    return removed.map((variant) => ({ family, variant }));
  });
}

/** IPv4, and IPv6 where the kernel has it; `needed`: there is an address of it that others can send to. */
function families(): readonly { readonly family: Family; readonly needed: boolean }[] {
  let interfaces = "";
  try {
    interfaces = readFileSync("/proc/net/if_inet6", "utf8");
  } catch {
    // The kernel has no IPv6 at all.
  }
  const addresses = interfaces.split("\n").filter((line) => line !== "");
  if (addresses.length === 0) return [{ family: 4, needed: true }];
  // Columns: address, index, prefix length, scope (00 is global, 10 the host, 20 the link), flags, name.
  const needed = addresses.some((line) => line.trim().split(/\s+/u)[3] === "00");
  return [
    { family: 4, needed: true },
    { family: 6, needed },
  ];
}

/** What of ours is there; undefined when the variant does not work here. */
function presentOf(family: Family, variant: Variant, tools: Iptables, attempts: Attempt[]): Present | undefined {
  const program = programOf(family, variant, "save");
  // The legacy one makes the table by asking for it; all that there are is what it prints without.
  const ended = run(program, [], "", tools, attempts);
  return ended === undefined ? undefined : findPresent(ended);
}

function removeOf(
  family: Family,
  variant: Variant,
  tools: Iptables,
  attempts: Attempt[],
): "removed" | "nothing" | "failed" {
  const present = presentOf(family, variant, tools, attempts);
  if (present === undefined) return "failed";
  const text = removalText(present);
  if (text === undefined) return "nothing";
  return restore(family, variant, text, tools, attempts) ? "removed" : "failed";
}

function restore(family: Family, variant: Variant, text: string, tools: Iptables, attempts: Attempt[]): boolean {
  const program = programOf(family, variant, "restore");
  return run(program, ["--noflush", "--wait", LOCK_SECONDS], text, tools, attempts) !== undefined;
}

function programOf(family: Family, variant: Variant, verb: "save" | "restore"): string {
  return `${family === 4 ? "iptables" : "ip6tables"}-${variant}-${verb}`;
}

/** What it printed, or undefined when it failed; that is noted. */
function run(
  program: string,
  args: readonly string[],
  input: string,
  { env }: Iptables,
  attempts: Attempt[],
): string | undefined {
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, {
    input,
    encoding: "utf8",
    timeout: PROGRAM_MS,
    killSignal: "SIGKILL",
    maxBuffer: OUTPUT_BYTES_MAX,
    // Its lock is a file in /run, which cannot be made on a read-only root; who else would change rules in this namespace now?
    env: { ...env, PATH: `${env["PATH"] ?? ""}:/usr/sbin:/sbin`, XTABLES_LOCKFILE: "/dev/null" },
  });
  if (status === 0) return stdout;
  if (errorCode(error) === "ENOENT") {
    attempts.push({ program, outcome: "missing", said: "" });
  } else {
    const how = error?.message ?? (signal === null ? "" : `ended by ${signal}`);
    attempts.push({ program, outcome: "failed", said: `${stderr ?? ""}\n${how}`.trim() });
  }
  return undefined;
}

function processStatus(): string {
  try {
    return readFileSync("/proc/self/status", "utf8");
  } catch {
    return ""; // not Linux, where there is no iptables either
  }
}

function errorCode(error: NodeJS.ErrnoException | undefined): string | undefined {
  return error?.code;
}
