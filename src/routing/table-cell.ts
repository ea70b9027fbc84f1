import { emptyTable } from "./compiled-table.ts";
import type { CompiledTable } from "./compiled-table.ts";

/**
 * The one place where the table's source and the data plane meet: one writes, the others read. Publishing is one
 * assignment, so that a request sees the old table or the new one and never a mixture.
 */
export class TableCell {
  /** The table of this moment. A request reads it once and keeps what it read until its exchange ends. */
  current: CompiledTable = emptyTable;
  readonly #listeners = new Set<(table: CompiledTable) => void>();

  /** Makes `table` the current one, then tells the listeners, in the order in which they came. */
  publish(table: CompiledTable): void {
    this.current = table;
    for (const listener of this.#listeners) listener(table);
  }

  /** Calls `listener` after every publication, until the returned function is called. */
  onPublish(listener: (table: CompiledTable) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }
}
