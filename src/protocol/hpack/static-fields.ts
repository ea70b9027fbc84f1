// The static table as fields, with what their names mean to the relay: made once, and shared by all decoders.
import type { FieldTable } from "../field-table.ts";
import { type Field, makeField } from "./field.ts";
import { Slab } from "./slab.ts";
import { staticEntries } from "./static-table.ts";

/** Literals that no table keeps live as long as their request: one slab for all connections of the process. */
const LITERAL_SLAB_BYTES = 16 * 1024;

/** What the decoders of a process share. */
export class StaticFields {
  /** Tells what a literal's name means. */
  readonly table: FieldTable;
  /** Entry n of RFC 7541 Appendix A at n - 1. */
  readonly fields: readonly Field[];
  /** Where literals go that enter no dynamic table. */
  readonly literals: Slab;

  constructor(table: FieldTable) {
    this.table = table;
    this.fields = staticEntries.map(([name, value]) => makeField(name, value, table));
    this.literals = new Slab(LITERAL_SLAB_BYTES, LITERAL_SLAB_BYTES);
  }
}
