// What the tests of this folder share.
import { textOf } from "../bytes.ts";
import type { HpackEncoder } from "./encoder.ts";
import type { Field, FieldBlock } from "./field.ts";

/** Names and values of a block, as text. */
export function textsOf(block: FieldBlock): [name: string, value: string][] {
  return block.fields.slice(0, block.count).map(textsOfField);
}

/** Name and value of a field, as text. */
export function textsOfField(field: Field): [name: string, value: string] {
  return [textOf(field.bytes, field.nameStart, field.nameEnd), textOf(field.bytes, field.valueStart, field.valueEnd)];
}

/** Encodes a whole block at the start of `out`. @returns where it ends. */
export function encodeBlock(encoder: HpackEncoder, block: FieldBlock, out: Uint8Array): number {
  let at = encoder.begin(out, 0);
  for (const field of block.fields.slice(0, block.count)) at = encoder.write(field, out, at);
  return at;
}
