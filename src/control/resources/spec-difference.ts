// What changed between two specs, as one sentence for the audit log, and whether anything did.

/** Longest sentence in characters: the log is for people, and has to stay small. */
const LENGTH_MAX = 500;

/** Whether two specs say the same. The order of maps counts for nothing, that of lists does. */
export function sameSpec(a: object, b: object): boolean {
  return text(a) === text(b);
}

/** `services.checkout: 10.0.0.7:8080 -> 10.0.0.9:8080; ttl: none -> 4h`; "" when nothing changed. */
export function specDifference(before: object, after: object): string {
  const parts: string[] = [];
  collect(before, after, "", parts);
  return shortened(parts.join("; "));
}

/** What a new resource says: `services.checkout: 10.0.0.7:8080; ttl: 4h`. */
export function specSummary(spec: object): string {
  const parts: string[] = [];
  for (const [name, value] of leaves(spec, "")) parts.push(`${name}: ${shown(value)}`);
  return shortened(parts.join("; "));
}

function shortened(sentence: string): string {
  return sentence.length <= LENGTH_MAX ? sentence : `${sentence.slice(0, LENGTH_MAX - 3)}...`;
}

function collect(before: object, after: object, path: string, parts: string[]): void {
  const old = new Map(Object.entries(before));
  const now = new Map(Object.entries(after));
  for (const name of new Set([...old.keys(), ...now.keys()])) {
    const [a, b] = [old.get(name), now.get(name)];
    if (text(a) === text(b)) continue;
    const at = path === "" ? name : `${path}.${name}`;
    if (isMap(a) && isMap(b)) collect(a, b, at, parts);
    else parts.push(`${at}: ${shown(a)} -> ${shown(b)}`);
  }
}

function* leaves(value: object, path: string): Generator<readonly [name: string, value: unknown]> {
  for (const [name, field] of Object.entries(value)) {
    const at = path === "" ? name : `${path}.${name}`;
    if (isMap(field)) yield* leaves(field, at);
    else if (field !== undefined && field !== "") yield [at, field];
  }
}

function shown(value: unknown): string {
  if (value === undefined || value === "") return "none";
  if (Array.isArray(value)) return value.map(String).join(", ");
  return typeof value === "string" ? value : text(value);
}

function text(value: unknown): string {
  return JSON.stringify(sorted(value)) ?? "";
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (!isMap(value)) return value;
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(fields.map(([name, field]) => [name, sorted(field)]));
}

function isMap(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
