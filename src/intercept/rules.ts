// The rules, as text for iptables-restore and ip6tables-restore with --noflush. Guarantees:
//
// - Two chains of our own in the table `nat`, and one jump to each, are all that is ever made or removed; what others have there
//   stays. One text is one change: it holds as a whole or not at all.
// - The text makes the same rules whatever of ours was there before.
// - No text that anybody wrote gets into it but numbers and address ranges that were checked.
//
// Long comments in the rules would be nice to have and need the module xt_comment, which not every node has.

import { type Interception, rangesOf } from "./interception.ts";

export type Family = 4 | 6;

const INBOUND = "SIDELANE_INBOUND";
const OUTBOUND = "SIDELANE_OUTBOUND";

/** Where each chain is jumped to from: what comes from outside passes PREROUTING, what local processes send OUTPUT. */
const HOOKS = [
  ["PREROUTING", INBOUND],
  ["OUTPUT", OUTBOUND],
] as const;

/** What of ours is there already. */
export interface Present {
  /** Names of chains. */
  readonly chains: readonly string[];
  /** Jumps to them as `iptables-save` prints them: `-A PREROUTING -p tcp -j SIDELANE_INBOUND`. */
  readonly jumps: readonly string[];
}

const NOTHING: Present = { chains: [], jumps: [] };

/** Finds what is ours in what iptables-save prints. */
export function findPresent(saved: string): Present {
  const chains: string[] = [];
  const jumps: string[] = [];
  let table = "";
  for (const line of saved.split("\n")) {
    if (line.startsWith("*")) table = line.slice(1).trim();
    if (table !== "nat") continue;
    const chain = /^:(SIDELANE_(?:IN|OUT)BOUND) /u.exec(line)?.[1];
    if (chain !== undefined) chains.push(chain);
    if (/^-A (?!SIDELANE_)\S+ (?:.* )?-j SIDELANE_(?:IN|OUT)BOUND$/u.test(line)) jumps.push(line);
  }
  return { chains, jumps };
}

/** The text that makes the rules of one family. */
export function rulesText(interception: Interception, family: Family, present: Present = NOTHING): string {
  const rules = { [INBOUND]: inboundRules(interception, family), [OUTBOUND]: outboundRules(interception, family) };
  const wanted = HOOKS.filter(([, chain]) => rules[chain].length > 0);
  const unwanted = present.chains.filter((chain) => !wanted.some(([, name]) => name === chain));
  return text([
    // Naming a chain makes it, or empties it.
    ...[...wanted.map(([, chain]) => chain), ...unwanted].map((chain) => `:${chain} - [0:0]`),
    ...present.jumps.map((jump) => jump.replace(/^-A/u, "-D")),
    ...unwanted.map((chain) => `-X ${chain}`),
    ...wanted.flatMap(([, chain]) => rules[chain].map((rule) => `-A ${chain} ${rule}`)),
    // Before what others have in these chains, and last: a chain is complete when it is jumped to.
    ...wanted.map(([hook, chain]) => `-I ${hook} 1 -p tcp -j ${chain}`),
  ]);
}

/** The text that removes what is ours, or undefined when there is nothing. */
export function removalText({ chains, jumps }: Present): string | undefined {
  if (chains.length === 0 && jumps.length === 0) return undefined;
  return text([
    ...chains.map((chain) => `:${chain} - [0:0]`),
    ...jumps.map((jump) => jump.replace(/^-A/u, "-D")),
    ...chains.map((chain) => `-X ${chain}`),
  ]);
}

function inboundRules({ inbound, excludeSources }: Interception, family: Family): readonly string[] {
  if (inbound.length === 0) return [];
  return [...rangesOf(excludeSources, family).map((range) => `-s ${range} -j RETURN`), ...inbound.map(redirect)];
}

function outboundRules({ outbound, excludeDestinations, user }: Interception, family: Family): readonly string[] {
  if (outbound.length === 0) return [];
  return [
    // What the sidecar itself sends would come back to it for ever.
    `-m owner --uid-owner ${user} -j RETURN`,
    // Everything that stays in the pod, at whatever address: loopback and the pod's own.
    "-o lo -j RETURN",
    ...rangesOf(excludeDestinations, family).map((range) => `-d ${range} -j RETURN`),
    ...outbound.map(redirect),
  ];
}

function redirect({ port, to }: { readonly port: number; readonly to: number }): string {
  return `-p tcp -m tcp --dport ${port} -j REDIRECT --to-ports ${to}`;
}

function text(lines: readonly string[]): string {
  return ["*nat", ...lines, "COMMIT", ""].join("\n");
}
