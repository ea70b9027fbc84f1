// `sidelane trace`: the path of one request, from what the sidecars on its way remember.
import { setTimeout as sleep } from "node:timers/promises";
import { styleText } from "node:util";
import { traceIdOf } from "../../telemetry/journal-entry.ts";
import type { ExitCode, FlagValues } from "../command.ts";
import { MisuseError } from "../command.ts";
import { askAll, parseAddress } from "./ask.ts";
import type { AdminAddress, AskedSidecar } from "./ask.ts";
import { hopsOf } from "./hops.ts";
import type { Hop } from "./hops.ts";
import { isTruncated, missingText, nothingFoundText } from "./nothing-found.ts";
import { traceText } from "./text.ts";
import type { TracePaint, TraceTitle } from "./text.ts";
import { entriesOf } from "./traced-entry.ts";
import { traceTree } from "./tree.ts";
import type { TraceNode } from "./tree.ts";

/** With --wait: between two questions, and how long it goes on. */
const ASK_AGAIN_MS = 250;
const WAIT_MS = 30_000;

/** Prints the path of one request; 1 when no sidecar knows it. */
export async function traceCommand(id: string, flags: FlagValues): Promise<ExitCode> {
  const trace = parseTraceId(id);
  const askOnce = await askerOf(flags, trace);
  const asked = flags["wait"] === true ? await askUntilComplete(askOnce) : await askOnce();
  const found = pathOf(trace, asked);
  if (flags["json"] === true) {
    process.stdout.write(
      `${JSON.stringify({ ...found.title, hops: found.hops, sidecars: asked.map(summary) }, null, 2)}\n`,
    );
    return found.hops.length === 0 ? 1 : 0;
  }
  if (found.hops.length === 0) {
    process.stderr.write(
      nothingFoundText(trace, asked, Date.now(), flags["control"] === undefined ? "admin" : "control"),
    );
    return 1;
  }
  process.stderr.write(missingText(asked));
  process.stdout.write(traceText(found.title, found.hops, paint));
  return 0;
}

/** Who is asked: the sidecars themselves, or the control plane for all that follow it. Misuse is told before anybody is. */
async function askerOf(flags: FlagValues, trace: string): Promise<() => Promise<AskedSidecar[]>> {
  const { admin, control } = flags;
  if (control !== undefined && admin !== undefined) {
    throw new MisuseError("error: --admin and --control are two ways to ask, give one of them");
  }
  if (control !== undefined) {
    const { controlJournals } = await import("./ask-control.ts");
    return controlJournals(flags, trace);
  }
  if (admin === undefined) {
    throw new MisuseError(
      "error: name the sidecars with --admin <address...>, or ask the control plane for all of them with --control",
    );
  }
  const addresses = parseAddresses(admin);
  return () => askAll(addresses, trace);
}

interface Path {
  readonly title: TraceTitle;
  readonly hops: readonly Hop[];
}

function pathOf(trace: string, asked: readonly AskedSidecar[]): Path {
  const entries = entriesOf(asked);
  const roots = traceTree(entries);
  const keys = [...new Set(flat(roots).flatMap(({ entry }) => (entry.key === "" ? [] : [entry.key])))];
  const hops = hopsOf(roots, keys[0] ?? "");
  const services = new Set(names(hops)).size;
  const begin = Math.min(...roots.map(({ startMs }) => startMs));
  const end = Math.max(...flat(roots).map(({ endMs }) => endMs));
  const durationMs = Number.isFinite(end) ? Math.round((end - begin) * 1000) / 1000 : null;
  return { title: { trace, keys, services, durationMs }, hops };
}

function flat(nodes: readonly TraceNode[]): TraceNode[] {
  return nodes.flatMap((node) => [node, ...flat(node.children)]);
}

function names(hops: readonly Hop[]): string[] {
  return hops.flatMap(({ service, children }) => [service, ...names(children)]);
}

/** Asks until the trace is there, nothing of it runs, and nothing was added since the last time. */
async function askUntilComplete(askOnce: () => Promise<AskedSidecar[]>): Promise<AskedSidecar[]> {
  const deadline = performance.now() + WAIT_MS;
  let before = -1;
  for (;;) {
    const asked = await askOnce();
    const entries = entriesOf(asked);
    const complete = entries.length > 0 && entries.every(({ entry }) => entry.durationMs !== null);
    if ((complete && entries.length === before) || performance.now() >= deadline) return asked;
    before = complete ? entries.length : -1;
    await sleep(ASK_AGAIN_MS);
  }
}

/** A trace id, or a `traceparent` field with or without its name. */
function parseTraceId(text: string): string {
  const value = text.replace(/^traceparent:/iu, "").trim();
  if (value === "") throw new MisuseError("error: the trace id is empty, write it as 4bf92f3577b34da6a3ce929d0e0e4736");
  return traceIdOf(value);
}

function parseAddresses(given: FlagValues[string]): AdminAddress[] {
  const addresses = (given as readonly string[]).map(parseAddress);
  // The same sidecar twice would have every entry twice.
  return addresses.filter(({ url }, index) => addresses.findIndex((other) => other.url === url) === index);
}

function summary(asked: AskedSidecar): object {
  if ("error" in asked) return asked;
  const { entries, ...journal } = asked.journal;
  return { address: asked.address, ...journal, found: entries.length, truncated: isTruncated(asked) };
}

const styled = (style: Parameters<typeof styleText>[0]): ((text: string) => string) => {
  return (text) => styleText(style, text, { stream: process.stdout });
};

const paint: TracePaint = {
  strong: styled("bold"),
  faint: styled("dim"),
  sandbox: styled("cyan"),
  bad: styled("red"),
  warning: styled("yellow"),
};
