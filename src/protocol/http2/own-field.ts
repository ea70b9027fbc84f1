import { FieldTable } from "../field-table.ts";
import { type Field, makeField } from "../hpack/field.ts";
import { http2Fields } from "./field-ids.ts";

/** What we write is watched by nobody here. */
const table = new FieldTable([], http2Fields);

/** A field of ours; one character per byte. */
export function ownField(name: string, value: string): Field {
  return makeField(name, value, table);
}
