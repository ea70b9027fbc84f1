import { Buffer } from "node:buffer";
import type { Amendment } from "../context/amendment.ts";
import { copyBytes } from "../bytes.ts";
import { fixedId } from "../field-table.ts";
import { Field, type FieldBlock } from "../hpack/field.ts";
import { fieldIds } from "./field-ids.ts";
import { ownField } from "./own-field.ts";
import type { Http2RequestHead } from "./request-head.ts";

/** Changes the block that a head was read from, and what of the head is looked at later. */
export function amendRequest(head: Http2RequestHead, block: FieldBlock, amendment: Amendment): void {
  const kept: Field[] = [];
  let watched = -1;
  for (let i = 0; i < block.count; i++) {
    const field = block.fields[i] as Field;
    if (field.kind >= fieldIds.watched) watched++;
    const value = field.kind >= fieldIds.watched ? amendment.values[watched] : undefined;
    if (value !== undefined) {
      if (value.length > 0) kept.push(withValue(field, value));
    } else if (field === head.path && amendment.target !== undefined) {
      head.path = withValue(field, amendment.target);
      kept.push(head.path);
    } else if (amendment.authority !== undefined && (field === head.authority || field === head.host)) {
      kept.push(withValue(field, amendment.authority));
    } else kept.push(field);
  }
  if (amendment.baggage.length > 0) kept.push(ownField("baggage", Buffer.from(amendment.baggage).toString("latin1")));
  block.clear();
  for (const field of kept) block.add(field);
}

/** The field with another value, to be sent the way the sender sent it. What is known of its name is not worked out again. */
function withValue(field: Field, value: Uint8Array): Field {
  const nameLength = field.nameEnd - field.nameStart;
  const bytes = new Uint8Array(nameLength + value.length);
  copyBytes(field.bytes, field.nameStart, field.nameEnd, bytes, 0);
  copyBytes(value, 0, value.length, bytes, nameLength);
  return new Field(
    bytes,
    0,
    nameLength,
    nameLength,
    bytes.length,
    fixedId(field.kind),
    field.nameHash,
    0,
    field.staticNameIndex,
    field.neverIndexed,
    field.mayIndex,
    field.fault,
  );
}
