// What every message on protobufjs' reader and writer is made of (protobuf.dev/programming-guides/encoding).

import type protobuf from "protobufjs/minimal.js";

/** Wire types. */
export const VARINT = 0;
export const BYTES = 2;

/** Calls `field` for each field of a message that ends at `end`; it returns false for one that it does not know. */
export function eachField(reader: protobuf.Reader, end: number, field: (number: number) => boolean): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    if (!field(tag >>> 3)) reader.skipType(tag & 7);
  }
}

/** Where the message that begins here ends. */
export function endOf(reader: protobuf.Reader): number {
  return reader.uint32() + reader.pos;
}

/** Writes text; none at all where it is empty, which readers take for the same. */
export function text(writer: protobuf.Writer, field: number, value: string): void {
  if (value !== "") writer.uint32((field << 3) | BYTES).string(value);
}

/** Writes a message inside a message. */
export function message(writer: protobuf.Writer, field: number, write: () => void): void {
  writer.uint32((field << 3) | BYTES).fork();
  write();
  writer.ldelim();
}
