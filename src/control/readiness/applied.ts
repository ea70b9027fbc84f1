// Whether a revision is in use everywhere where it makes a difference, and who is behind otherwise.

import type { SidecarInfo } from "../feed/sidecars.ts";
import { type Behind, type Late, hearsEverything } from "./behind.ts";
import type { ReplicaView, Views } from "./sidecar-views.ts";

/** Who does not have a revision, as sentences; `unknown`: nothing says that anybody lacks it, but not everybody could be asked. */
export interface Applied {
  readonly status: "true" | "false" | "unknown";
  /** One word for programs. */
  readonly reason: string;
  /** One sentence each; empty when the status is true. */
  readonly behind: readonly string[];
}

/** Sentences about more than these would be a wall. */
const NAMED_MAX = 5;
/** Sentences are made of so many at most; the others are counted. */
const LOOKED_MAX = 20;

/** A change that has to be in use. */
export interface Wanted {
  readonly revision: number;
  /** Those that it is about; undefined: it is not known, so it may be about any. */
  readonly services: readonly string[] | undefined;
  /** Services that it was about earlier, with the revision that took each of them out. */
  readonly former?: ReadonlyMap<string, number> | undefined;
  /** How long the revision has been there, as far as this replica knows. */
  readonly ageMs: number;
}

/**
 * @param returning why sidecars may be missing of which nobody knows at the moment; undefined: they would have come by now.
 */
export function appliedAt({ replicas, behind }: Views, wanted: Wanted, nowMs: number, returning?: string): Applied {
  const { revision } = wanted;
  const late = lateOf(behind, wanted);
  const older = replicas.filter((one) => one.problem === "" && one.revision < revision);
  const silent = replicas.filter(({ problem }) => problem !== "");
  const certain = late.count + older.length > 0;
  if (!certain && silent.length === 0 && returning === undefined) {
    return { status: "true", reason: "Everywhere", behind: [] };
  }
  const looked = late.first(LOOKED_MAX);
  const sentences = [
    ...counted(looked.map((one) => lateText(one, wanted, nowMs))),
    ...older.map((one) => olderText(one, revision)),
    ...silent.map(
      ({ replica, problem }) => `the control replica ${replica} cannot be asked about its sidecars: ${problem}`,
    ),
    ...(returning === undefined ? [] : [returning]),
  ];
  const unsure = silent.length > 0 ? "ReplicaSilent" : "JustStarted";
  return {
    status: certain ? "false" : "unknown",
    reason: late.refused ? "Refused" : certain ? "SidecarsBehind" : unsure,
    behind: shortened(sentences, late.count - looked.length),
  };
}

/** Whether a sidecar hears of what changes one of these services. */
export function concerns(info: SidecarInfo, services: readonly string[] | undefined): boolean {
  if (services === undefined || hearsEverything(info)) return true;
  return services.some((service) => info.scope.services.includes(service));
}

function lateOf(behind: Behind, { revision, services, former }: Wanted): Late {
  const late = behind.late(revision, services);
  if (services === undefined || former === undefined || former.size === 0) return late;
  // A sidecar that hears only of what was taken out needs nothing but the revision that took it out.
  const known = new Set(late.first(late.count));
  let refused = late.refused;
  for (const [service, until] of former) {
    const lacking = behind.late(until, [service]);
    refused ||= lacking.refused;
    for (const one of lacking.first(lacking.count)) known.add(one);
  }
  return { count: known.size, refused, first: (most) => [...known].slice(0, most) };
}

/** How people know a sidecar. */
export function sidecarText({ service, sandbox, host }: Pick<SidecarInfo, "service" | "sandbox" | "host">): string {
  const of = sandbox === "" ? service : `${service} in ${sandbox}`;
  return `the sidecar of ${of}${host === "" ? "" : ` on ${host}`}`;
}

function lateText(info: SidecarInfo, { revision, ageMs }: Wanted, nowMs: number): string {
  const who = sidecarText(info);
  if (info.error !== "") {
    const problems = info.problems.length === 0 ? "" : `: ${info.problems.slice(0, 3).join("; ")}`;
    return `${who} refused its newest table and goes on with revision ${info.appliedRevision} (${info.error})${problems}`;
  }
  if (!info.connected) {
    return `${who} has been disconnected for ${secondsText(nowMs - Date.parse(info.since))}, with revision ${info.appliedRevision}; it is forgotten if it does not come back`;
  }
  const forLong = ageMs < 1000 ? "yet" : `for ${secondsText(ageMs)}`;
  return `${who} has not acknowledged revision ${revision} ${forLong}; it has ${info.appliedRevision}`;
}

function olderText({ replica, revision: has }: ReplicaView, revision: number): string {
  return `the control replica ${replica} has not heard of revision ${revision} yet; it is at ${has}`;
}

/** Whole seconds, so that a sentence does not change with every look. */
function secondsText(ms: number): string {
  return `${Math.max(0, Math.floor(ms / 1000))} s`;
}

/** The workers of one sidecar are several processes, of which there is the same to say. */
function counted(all: readonly string[]): readonly string[] {
  const counts = new Map<string, number>();
  for (const sentence of all) counts.set(sentence, (counts.get(sentence) ?? 0) + 1);
  return [...counts].map(([sentence, count]) => (count === 1 ? sentence : `${sentence} (${count} processes)`));
}

function shortened(sentences: readonly string[], unnamed: number): readonly string[] {
  const more = Math.max(0, sentences.length - NAMED_MAX) + unnamed;
  return more === 0 ? sentences : [...sentences.slice(0, NAMED_MAX), `and ${more} more`];
}
