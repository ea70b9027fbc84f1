// Whether a revision is in use everywhere where it makes a difference, and who is behind otherwise.

import type { SidecarInfo } from "../feed/sidecars.ts";
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

/**
 * @param services those that the change is about; undefined: it is not known, so it may be about any.
 * @param ageMs how long the revision has been there, as far as this replica knows.
 */
export function appliedAt(
  { replicas, behind }: Views,
  revision: number,
  services: readonly string[] | undefined,
  ageMs: number,
  nowMs: number,
): Applied {
  const late = behind.filter((one) => concerns(one, services) && !isCurrent(one, revision));
  const older = replicas.filter((one) => one.problem === "" && one.revision < revision);
  const silent = replicas.filter(({ problem }) => problem !== "");
  if (late.length + older.length + silent.length === 0) return { status: "true", reason: "Everywhere", behind: [] };
  const sentences = [
    ...late.map((one) => lateText(one, revision, ageMs, nowMs)),
    ...older.map((one) => olderText(one, revision)),
    ...silent.map(
      ({ replica, problem }) => `the control replica ${replica} cannot be asked about its sidecars: ${problem}`,
    ),
  ];
  const refused = late.some(({ error }) => error !== "");
  const certain = late.length + older.length > 0;
  return {
    status: certain ? "false" : "unknown",
    reason: refused ? "Refused" : certain ? "SidecarsBehind" : "ReplicaSilent",
    behind: shortened(sentences),
  };
}

/** Whether a sidecar hears of what changes one of these services. */
export function concerns({ scope }: SidecarInfo, services: readonly string[] | undefined): boolean {
  if (services === undefined || scope.services.length === 0 || scope.names) return true;
  return services.some((service) => scope.services.includes(service));
}

/** As `Sidecars.isCurrent`, of whichever replica. One that is gone with the revision in use lacks nothing. */
function isCurrent({ appliedRevision, wantedRevision, connected }: SidecarInfo, revision: number): boolean {
  return appliedRevision >= (connected ? Math.min(revision, wantedRevision) : revision);
}

/** How people know a sidecar. */
export function sidecarText({ service, sandbox, host }: Pick<SidecarInfo, "service" | "sandbox" | "host">): string {
  const of = sandbox === "" ? service : `${service} in ${sandbox}`;
  return `the sidecar of ${of}${host === "" ? "" : ` on ${host}`}`;
}

function lateText(info: SidecarInfo, revision: number, ageMs: number, nowMs: number): string {
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

function shortened(all: readonly string[]): readonly string[] {
  // The workers of one sidecar are several processes, of which there is the same to say.
  const counts = new Map<string, number>();
  for (const sentence of all) counts.set(sentence, (counts.get(sentence) ?? 0) + 1);
  const sentences = [...counts].map(([sentence, count]) =>
    count === 1 ? sentence : `${sentence} (${count} processes)`,
  );
  if (sentences.length <= NAMED_MAX) return sentences;
  return [...sentences.slice(0, NAMED_MAX), `and ${sentences.length - NAMED_MAX} more`];
}
