// The layout of a compiled table: one ArrayBuffer, so that another process can compile it and hand it over as plain bytes,
// and so that a process with 100,000 sandboxes holds a dozen objects for them instead of a million.
//
//   header    Int32 words: magic, hash seed, longest key and host, the counts below
//   sections  Int32Array each, in the order of `sectionLengths`
//   pool      bytes of every string, referred to by offset and length
//
// Ids are indices: service, service port, endpoint set, endpoint, host. Targets are the sandboxes, then the groups.

import { assert } from "../base/assert.ts";
import type { HashSeed } from "./byte-hash.ts";

/** A compiled table as data: transferable between processes. Only `compile` makes one, only `CompiledTable` reads it. */
export interface TableImage {
  readonly buffer: ArrayBuffer;
}

/** How many of each thing a table has. */
export interface TableSizes {
  readonly services: number;
  readonly servicePorts: number;
  readonly hosts: number;
  readonly sandboxes: number;
  readonly groups: number;
  /** Sandboxes named by groups, repetitions included. */
  readonly members: number;
  /** (sandbox, service port) pairs that have endpoints of their own. */
  readonly overrides: number;
  readonly sets: number;
  readonly endpoints: number;
  readonly poolBytes: number;
}

/** Everything else the header holds. */
export interface TableHeader extends TableSizes {
  readonly seed: HashSeed;
  /** Bytes of the longest routing key: longer input is not even hashed. */
  readonly keyBytesMax: number;
  readonly hostBytesMax: number;
  readonly serviceBytesMax: number;
}

const MAGIC = 0x534c_5432; // "SLT2"; the last character is the version of the layout
const WORDS = [
  "services",
  "servicePorts",
  "hosts",
  "sandboxes",
  "groups",
  "members",
  "overrides",
  "sets",
  "endpoints",
  "poolBytes",
  "keyBytesMax",
  "hostBytesMax",
  "serviceBytesMax",
] as const;
const HEADER_WORDS = 3 + WORDS.length;

/** Words per section. `Text` sections hold (offset, length) pairs, `Start` ones have an extra last entry: the end. */
function sectionLengths(sizes: TableSizes): Record<SectionName, number> {
  const targets = sizes.sandboxes + sizes.groups;
  return {
    targetSlots: slotWords(targets),
    hostSlots: slotWords(sizes.hosts),
    serviceSlots: slotWords(sizes.services),
    hostText: 2 * sizes.hosts,
    hostService: sizes.hosts,
    serviceText: 2 * sizes.services,
    serviceHostStart: sizes.services + 1,
    servicePortStart: sizes.services + 1,
    portText: 2 * sizes.servicePorts,
    portNumber: sizes.servicePorts,
    portService: sizes.servicePorts,
    portBaseline: sizes.servicePorts,
    targetText: 2 * targets,
    keyText: 2 * targets,
    strict: sizes.sandboxes,
    memberStart: sizes.groups + 1,
    member: sizes.members,
    overrideStart: sizes.sandboxes + 1,
    overridePort: sizes.overrides,
    overrideSet: sizes.overrides,
    setOwner: sizes.sets,
    setStart: sizes.sets + 1,
    endpointText: 2 * sizes.endpoints,
  };
}

type SectionName =
  | "targetSlots"
  | "hostSlots"
  | "serviceSlots"
  | "hostText"
  | "hostService"
  | "serviceText"
  | "serviceHostStart"
  | "servicePortStart"
  | "portText"
  | "portNumber"
  | "portService"
  | "portBaseline"
  | "targetText"
  | "keyText"
  | "strict"
  | "memberStart"
  | "member"
  | "overrideStart"
  | "overridePort"
  | "overrideSet"
  | "setOwner"
  | "setStart"
  | "endpointText";

/** The sections of an image as typed arrays over its buffer. */
export type TableSections = Readonly<Record<SectionName, Int32Array>>;

/** Header, sections and string pool of an image. */
export interface TableViews {
  readonly header: TableHeader;
  readonly sections: TableSections;
  readonly pool: Uint8Array;
}

/** Two words (hash, entry) per slot, at most half of the slots used, never none, so that a probe always ends. */
function slotWords(entries: number): number {
  let slots = 2;
  while (slots < entries * 2) slots *= 2;
  return slots * 2;
}

function imageBytes(sizes: TableSizes): number {
  let words = HEADER_WORDS;
  for (const length of Object.values(sectionLengths(sizes))) words += length;
  return words * 4 + sizes.poolBytes;
}

/** Makes an image of the given sizes with empty hash tables and zeros elsewhere. */
export function allocateImage(header: TableHeader): TableImage {
  const buffer = new ArrayBuffer(imageBytes(header));
  const head = new Int32Array(buffer, 0, HEADER_WORDS);
  head[0] = MAGIC;
  head[1] = header.seed.low;
  head[2] = header.seed.high;
  WORDS.forEach((word, index) => (head[3 + index] = header[word]));
  const image = { buffer };
  const { sections } = viewImage(image);
  for (const slots of [sections.targetSlots, sections.hostSlots, sections.serviceSlots]) slots.fill(-1);
  return image;
}

/** Lays views over an image: a fixed number of objects, whatever the size of the table. */
export function viewImage(image: TableImage): TableViews {
  const { buffer } = image;
  assert(buffer.byteLength >= HEADER_WORDS * 4, "table image is cut short");
  const head = new Int32Array(buffer, 0, HEADER_WORDS);
  assert(head[0] === MAGIC, "not a table image of this version");
  const header = {
    seed: { low: at(head, 1), high: at(head, 2) },
    ...(Object.fromEntries(WORDS.map((word, index) => [word, at(head, 3 + index)])) as Record<
      (typeof WORDS)[number],
      number
    >),
  };
  assert(imageBytes(header) === buffer.byteLength, "table image has a wrong length");
  let offset = HEADER_WORDS * 4;
  const sections: Partial<Record<SectionName, Int32Array>> = {};
  for (const [name, length] of Object.entries(sectionLengths(header))) {
    sections[name as SectionName] = new Int32Array(buffer, offset, length);
    offset += length * 4;
  }
  return { header, sections: sections as TableSections, pool: new Uint8Array(buffer, offset, header.poolBytes) };
}

/** Reads a word that the layout says exists; `noUncheckedIndexedAccess` cannot know the length. */
export function at(words: Int32Array, index: number): number {
  return words[index] as number;
}
