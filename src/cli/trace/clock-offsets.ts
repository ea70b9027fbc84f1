// How much the clocks of sidecars differ, as far as their entries tell. A call is longer than what it leads to: if an
// outbound entry of one sidecar and an inbound entry of another name the same span, the second must lie within the first,
// and that says in which range the difference of the two clocks is. Where no difference fits as well, there is none.
import { entryStartMs } from "./traced-entry.ts";
import type { TracedEntry } from "./traced-entry.ts";

/** Between two sidecars, what has to be added to the times of the second. */
interface Range {
  readonly from: string;
  readonly to: string;
  minMs: number;
  maxMs: number;
}

/** By address, what has to be added to the times of each sidecar to have them all by the clock of one. */
export function clockOffsets(entries: readonly TracedEntry[]): ReadonlyMap<string, number> {
  const ranges = [...rangesOf(entries).values()];
  const offsetsMs = new Map<string, number>();
  for (const { sidecar } of entries) {
    if (offsetsMs.has(sidecar.address)) continue;
    offsetsMs.set(sidecar.address, 0);
    spread(sidecar.address, ranges, offsetsMs);
  }
  return offsetsMs;
}

/** Gives every sidecar that exchanges with this one lead to, over others too, its offset. */
function spread(from: string, ranges: readonly Range[], offsetsMs: Map<string, number>): void {
  const known = [from];
  for (let at = known.shift(); at !== undefined; at = known.shift()) {
    const own = offsetsMs.get(at) ?? 0;
    for (const range of ranges) {
      const other = range.from === at ? range.to : range.to === at ? range.from : undefined;
      if (other === undefined || offsetsMs.has(other)) continue;
      offsetsMs.set(other, own + (range.from === at ? likely(range) : -likely(range)));
      known.push(other);
    }
  }
}

/** The least difference that explains what was seen; where nothing does, the middle. */
function likely({ minMs, maxMs }: Range): number {
  if (minMs > maxMs) return (minMs + maxMs) / 2;
  return Math.min(Math.max(0, minMs), maxMs);
}

function rangesOf(entries: readonly TracedEntry[]): Map<string, Range> {
  const ranges = new Map<string, Range>();
  for (const [call, arrival] of certainPairs(entries)) {
    const from = call.sidecar.address;
    const to = arrival.sidecar.address;
    const [callMs, arrivalMs] = [entryStartMs(call.entry), entryStartMs(arrival.entry)];
    const callEndMs = callMs + (call.entry.durationMs ?? Number.POSITIVE_INFINITY);
    const key = JSON.stringify([from, to]);
    const range = ranges.get(key) ?? { from, to, minMs: Number.NEGATIVE_INFINITY, maxMs: Number.POSITIVE_INFINITY };
    range.minMs = Math.max(range.minMs, callMs - arrivalMs);
    // Of one that still runs only the beginning says something.
    range.maxMs = Math.min(range.maxMs, callEndMs - arrivalMs - (arrival.entry.durationMs ?? 0));
    ranges.set(key, range);
  }
  return ranges;
}

/** Calls and where they arrived, where there can be no doubt: one of each with that span and service. */
function certainPairs(entries: readonly TracedEntry[]): (readonly [call: TracedEntry, arrival: TracedEntry])[] {
  const sides = new Map<string, { readonly calls: TracedEntry[]; readonly arrivals: TracedEntry[] }>();
  for (const one of entries) {
    const { span, service, direction } = one.entry;
    if (span === "") continue;
    const name = JSON.stringify([span, service]);
    const side = sides.get(name) ?? { calls: [], arrivals: [] };
    sides.set(name, side);
    (direction === "outbound" ? side.calls : side.arrivals).push(one);
  }
  return [...sides.values()].flatMap(({ calls, arrivals }) => {
    const [[call, secondCall], [arrival, secondArrival]] = [calls, arrivals];
    if (call === undefined || arrival === undefined || secondCall !== undefined || secondArrival !== undefined)
      return [];
    return arrival.sidecar.address === call.sidecar.address ? [] : [[call, arrival] as const];
  });
}
