// What is intercepted, as the flags of `sidelane intercept` say it.

import { isIPv6 } from "node:net";
import { checkAddressRange } from "../config/address-range.ts";
import type { Finding } from "../routing/finding.ts";

/** Connections to `port` go to `to` of the same machine instead. */
export interface PortRedirect {
  readonly port: number;
  readonly to: number;
}

/** Everything that the rules say. Ports are distinct within a direction and in ascending order. */
export interface Interception {
  /** Ports of the app, and the sidecar's listeners for them. */
  readonly inbound: readonly PortRedirect[];
  /** Ports of other services, and the sidecar's listeners for them. */
  readonly outbound: readonly PortRedirect[];
  /** Address ranges of callers that reach the app directly. */
  readonly excludeSources: readonly string[];
  /** Address ranges that the app reaches directly. */
  readonly excludeDestinations: readonly string[];
  /** Id of the user whose own connections are left alone: the sidecar's. */
  readonly user: number;
}

/** The flags as written: lists separated by commas. */
export interface InterceptionFlags {
  readonly inbound: readonly string[];
  readonly outbound: readonly string[];
  readonly excludeSource: readonly string[];
  readonly excludeDestination: readonly string[];
  readonly user: string;
}

/** The interception, or what is wrong with the flags: one line each. */
export function parseInterception(flags: InterceptionFlags): Interception | { readonly problems: readonly string[] } {
  const problems: string[] = [];
  const inbound = redirects("--inbound", flags.inbound, problems);
  const outbound = redirects("--outbound", flags.outbound, problems);
  const user = /^[0-9]{1,10}$/u.test(flags.user) ? Number(flags.user) : Number.NaN;
  // 2^32 - 1 is no user: the kernel has it for "unchanged".
  if (!(user < 2 ** 32 - 1))
    problems.push(`--user: ${JSON.stringify(flags.user)} is not a user id; write a number, as 15065`);
  else if (user === 0) {
    problems.push(
      "--user: the sidecar cannot be root: the traffic of every other root process would go past it; give it a user id of its own, as 15065",
    );
  }
  const interception: Interception = {
    inbound,
    outbound,
    excludeSources: ranges("--exclude-source", flags.excludeSource, problems),
    excludeDestinations: ranges("--exclude-destination", flags.excludeDestination, problems),
    user,
  };
  checkListeners(interception, problems);
  return problems.length === 0 ? interception : { problems };
}

/** What of a list of address ranges is of a family. */
export function rangesOf(list: readonly string[], family: 4 | 6): readonly string[] {
  return list.filter((range) => isIPv6(range.split("/", 1)[0] ?? "") === (family === 6));
}

function redirects(flag: string, lists: readonly string[], problems: string[]): readonly PortRedirect[] {
  const found = new Map<number, number>();
  for (const text of split(lists)) {
    const [port, to] = (/^([0-9]{1,5}):([0-9]{1,5})$/u.exec(text)?.slice(1) ?? []).map(Number);
    if (port === undefined || to === undefined || !isPort(port) || !isPort(to)) {
      problems.push(`${flag}: ${JSON.stringify(text)} is not PORT:LISTENER; write two port numbers, as 8080:15100`);
    } else if (found.has(port) && found.get(port) !== to) {
      problems.push(`${flag}: ${port} goes to ${found.get(port)} and to ${to}; write it once`);
    } else found.set(port, to);
  }
  return [...found].map(([port, to]) => ({ port, to })).toSorted((a, b) => a.port - b.port);
}

/** A listener that is intercepted itself would be out of reach of everybody but through another listener. */
function checkListeners({ inbound, outbound }: Interception, problems: string[]): void {
  for (const [flag, list] of [
    ["--inbound", inbound],
    ["--outbound", outbound],
  ] as const) {
    for (const { port, to } of list) {
      if (!list.some((other) => other.port === to)) continue;
      problems.push(
        `${flag}: ${port} goes to ${to}, which is intercepted as well; write a port of the sidecar that nobody else connects to`,
      );
    }
  }
}

function ranges(flag: string, lists: readonly string[], problems: string[]): readonly string[] {
  const list = [...new Set(split(lists))];
  for (const range of list) {
    const found: Finding[] = [];
    checkAddressRange(range, [], { problems: found, warnings: [], resolvePath: (path) => path });
    for (const { message, why, hint } of found)
      problems.push(`${flag}: ${[message, why, hint].filter(Boolean).join("; ")}`);
  }
  return list;
}

function split(lists: readonly string[]): readonly string[] {
  return lists
    .flatMap((list) => list.split(","))
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function isPort(port: number): boolean {
  return port >= 1 && port <= 65_535;
}
