// The static table of RFC 7541 Appendix A: 61 entries that every endpoint knows, numbered from 1.
import { latin1 } from "../bytes.ts";

/** Name and value of each entry; entry n is at n - 1. */
export const staticEntries: readonly (readonly [name: string, value: string])[] = [
  [":authority", ""],
  [":method", "GET"],
  [":method", "POST"],
  [":path", "/"],
  [":path", "/index.html"],
  [":scheme", "http"],
  [":scheme", "https"],
  [":status", "200"],
  [":status", "204"],
  [":status", "206"],
  [":status", "304"],
  [":status", "400"],
  [":status", "404"],
  [":status", "500"],
  ["accept-charset", ""],
  ["accept-encoding", "gzip, deflate"],
  ["accept-language", ""],
  ["accept-ranges", ""],
  ["accept", ""],
  ["access-control-allow-origin", ""],
  ["age", ""],
  ["allow", ""],
  ["authorization", ""],
  ["cache-control", ""],
  ["content-disposition", ""],
  ["content-encoding", ""],
  ["content-language", ""],
  ["content-length", ""],
  ["content-location", ""],
  ["content-range", ""],
  ["content-type", ""],
  ["cookie", ""],
  ["date", ""],
  ["etag", ""],
  ["expect", ""],
  ["expires", ""],
  ["from", ""],
  ["host", ""],
  ["if-match", ""],
  ["if-modified-since", ""],
  ["if-none-match", ""],
  ["if-range", ""],
  ["if-unmodified-since", ""],
  ["last-modified", ""],
  ["link", ""],
  ["location", ""],
  ["max-forwards", ""],
  ["proxy-authenticate", ""],
  ["proxy-authorization", ""],
  ["range", ""],
  ["referer", ""],
  ["refresh", ""],
  ["retry-after", ""],
  ["server", ""],
  ["set-cookie", ""],
  ["strict-transport-security", ""],
  ["transfer-encoding", ""],
  ["user-agent", ""],
  ["vary", ""],
  ["via", ""],
  ["www-authenticate", ""],
];

export const STATIC_COUNT: number = staticEntries.length;

interface StaticName {
  readonly name: Uint8Array;
  /** The first entry with the name. */
  readonly index: number;
}

/** By length: most names are told apart by that and their first character, so that a look-up compares one or two. */
const namesByLength: readonly (readonly StaticName[])[] = groupNames();

function groupNames(): StaticName[][] {
  const first = new Map<string, number>();
  staticEntries.forEach(([name], at) => first.has(name) || first.set(name, at + 1));
  const groups: StaticName[][] = [];
  for (const [text, index] of first) {
    const name = latin1(text);
    while (groups.length <= name.length) groups.push([]);
    groups[name.length]?.push({ name, index });
  }
  return groups;
}

/** The first entry of the static table named `bytes[start, end)`, 0 when there is none. Exact: names are in lower case. */
export function findStaticName(bytes: Uint8Array, start: number, end: number): number {
  const group = namesByLength[end - start];
  if (group === undefined) return 0;
  for (let g = 0; g < group.length; g++) {
    const candidate = group[g] as StaticName;
    const name = candidate.name;
    let i = 0;
    while (i < name.length && bytes[start + i] === name[i]) i++;
    if (i === name.length) return candidate.index;
  }
  return 0;
}

/** The entry of the static table with this name and value, 0 when there is none. For constants: it compares text. */
export function findStaticEntry(name: string, value: string): number {
  return staticEntries.findIndex((entry) => entry[0] === name && entry[1] === value) + 1;
}
