// Reading and writing the JSON of live objects, of which every field may be missing.

import { isMap } from "../../base/is-map.ts";
import type { JsonMap, Labels } from "../../kube/object.ts";

/** The map in a field; empty where there is none. */
export function mapAt(value: JsonMap | undefined, field: string): JsonMap {
  const found = value?.[field];
  return isMap(found) ? found : {};
}

/** The maps of the list in a field; none where there is no list. */
export function mapsAt(value: JsonMap | undefined, field: string): readonly JsonMap[] {
  const found = value?.[field];
  return Array.isArray(found) ? found.filter(isMap) : [];
}

/** The text in a field; "" where there is none. */
export function textAt(value: JsonMap, field: string): string {
  const found = value[field];
  return typeof found === "string" ? found : "";
}

/** Labels or annotations: what is no text is left out. */
export function labelsAt(value: JsonMap, field: string): Labels {
  const pairs = Object.entries(mapAt(value, field));
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => typeof pair[1] === "string"));
}

/** Without these fields. */
export function without(value: JsonMap, fields: Iterable<string>): JsonMap {
  const dropped = new Set(fields);
  return Object.fromEntries(Object.entries(value).filter(([name]) => !dropped.has(name)));
}

/** Only these fields, as far as they are there. */
export function only(value: JsonMap, fields: Iterable<string>): JsonMap {
  const kept = new Set(fields);
  return Object.fromEntries(Object.entries(value).filter(([name]) => kept.has(name)));
}

/** With a field, or without it when the value is empty. */
export function withList(value: JsonMap, field: string, list: readonly unknown[]): JsonMap {
  const rest = without(value, [field]);
  return list.length === 0 ? rest : { ...rest, [field]: list };
}

/** The last of those with one key, where it stands: what Kubernetes goes by. Server-side apply takes no key twice. */
export function lastOfEach(list: readonly JsonMap[], keyOf: (item: JsonMap) => string): readonly JsonMap[] {
  const last = new Map(list.map((item, index) => [keyOf(item), index]));
  return list.filter((item, index) => last.get(keyOf(item)) === index);
}

/**
 * The value without null and undefined anywhere, and its fields in the order of their names: what server-side apply takes, and the
 * same text for the same content.
 */
export function clean<T>(value: T): T {
  return cleaned(value) as T;
}

function cleaned(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => item !== null && item !== undefined).map(cleaned);
  if (!isMap(value)) return value;
  const fields = Object.entries(value).filter(([, field]) => field !== null && field !== undefined);
  const sorted = fields.toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(sorted.map(([name, field]) => [name, cleaned(field)]));
}
