// `GET /v1/traces/{id}`: what all sidecars remember about one trace, in the form in which `sidelane trace` reads their journals.

import type { Gathered } from "./api/backend.ts";
import type { SidecarInfo, Sidecars } from "./feed/sidecars.ts";
import type { Replicas } from "./replicas.ts";

/** Where another replica tells what its own sidecars remember. */
export const TRACES_PATH = "/v1/internal/traces";
/** Entries of one sidecar, the newest. */
const ENTRIES_MAX = 250;
/** Sidecars that are asked at one time. */
const ASKED_AT_ONCE = 64;
/** All of it; who has not answered by then is named. */
const TRACE_MS = 5_000;
/** What other replicas get of it; the rest is for the way. */
export const REPLICA_MS = TRACE_MS - 500;
/** Sidecars that know nothing of the trace are of interest only where none does: why not. */
const SILENT_MAX = 20;

/** What one sidecar had to say, or why nothing. JSON as it is. */
export type TracedSidecar = Pick<SidecarInfo, "instance" | "service" | "sandbox" | "host"> &
  (
    | {
        /** As in `GET /journal`. */
        readonly journal: TracedJournal;
      }
    | { readonly error: string }
  );

interface TracedJournal {
  readonly entries: readonly unknown[];
}

/** Asks those of this replica that route; resolves in time, whoever does not answer. */
export async function traceHere(
  sidecars: Pick<Sidecars, "list" | "ask">,
  id: string,
  questionMs: number,
  withinMs: number = TRACE_MS,
): Promise<readonly TracedSidecar[]> {
  const deadlineMs = performance.now() + withinMs;
  const waiting = sidecars.list().filter(({ routes, connected }) => routes && connected);
  const found: TracedSidecar[] = [];
  const work = async (): Promise<void> => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
      const leftMs = deadlineMs - performance.now();
      found.push(
        leftMs < 1 ? unasked(one) : await traceOf(sidecars, one, id, Math.floor(Math.min(leftMs, questionMs))),
      );
    }
  };
  await Promise.all(Array.from({ length: ASKED_AT_ONCE }, work));
  return withoutSilent(found);
}

/** The same for the sidecars of all replicas. */
export async function traceEverywhere(
  sidecars: Pick<Sidecars, "list" | "ask">,
  replicas: Pick<Replicas, "askAll">,
  id: string,
  questionMs: number,
): Promise<Gathered<TracedSidecar>> {
  const [own, others] = await Promise.all([
    traceHere(sidecars, id, questionMs),
    replicas.askAll(`${TRACES_PATH}?${new URLSearchParams({ id }).toString()}`, TRACE_MS),
  ]);
  const items = [...own];
  const missing: { readonly replica: string; readonly why: string }[] = [];
  for (const other of others) {
    const told = "answer" in other ? (other.answer as { readonly sidecars?: unknown } | null)?.sidecars : undefined;
    if (Array.isArray(told)) items.push(...(told as readonly TracedSidecar[]));
    else missing.push({ replica: other.replica, why: "why" in other ? other.why : "it is another version" });
  }
  return { items: withoutSilent(items), missing };
}

async function traceOf(
  sidecars: Pick<Sidecars, "ask">,
  info: SidecarInfo,
  trace: string,
  withinMs: number,
): Promise<TracedSidecar> {
  const known = knownOf(info);
  const journal = { trace, key: "", limit: ENTRIES_MAX };
  const answer = await sidecars.ask(info.instance, { kind: "journal", journal }, withinMs);
  if (answer.kind === "error") return { ...known, error: answer.error };
  if (answer.kind !== "journal") return { ...known, error: "it answered another question" };
  const report = parsed(answer.journal);
  return report === undefined
    ? { ...known, error: "answered with something else than a journal" }
    : { ...known, journal: report };
}

function parsed(text: string): TracedJournal | undefined {
  try {
    const value = JSON.parse(text) as { readonly entries?: unknown } | null;
    return Array.isArray(value?.entries) ? (value as TracedJournal) : undefined;
  } catch {
    return undefined;
  }
}

function knownOf({ instance, service, sandbox, host }: SidecarInfo) {
  return { instance, service, sandbox, host };
}

function unasked(info: SidecarInfo): TracedSidecar {
  return { ...knownOf(info), error: "there was no time left to ask it" };
}

/** Those that have something; where none has, some of the others, which say how far back they remember. */
function withoutSilent(all: readonly TracedSidecar[]): readonly TracedSidecar[] {
  const telling = all.filter((one) => "error" in one || one.journal.entries.length > 0);
  const any = telling.some((one) => "journal" in one);
  const silent = any
    ? []
    : all.filter((one) => "journal" in one && one.journal.entries.length === 0).slice(0, SILENT_MAX);
  return [...telling, ...silent].toSorted((a, b) => (a.instance < b.instance ? -1 : 1));
}
