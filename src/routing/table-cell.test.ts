import { expect, test } from "vitest";
import { CompiledTable, emptyTable } from "./compiled-table.ts";
import { compile } from "./compile.ts";
import { TableCell } from "./table-cell.ts";

const table = (version: number): CompiledTable =>
  new CompiledTable(compile({ services: {}, sandboxes: {}, groups: {} }, { low: 0, high: 0 }), version, "");

test("holds the empty table until one is published, then the latest", () => {
  const cell = new TableCell();
  expect(cell.current).toBe(emptyTable);
  const first = table(1);
  cell.publish(first);
  expect(cell.current).toBe(first);
});

test("listeners see the new table as current, in their order, until they leave", () => {
  const cell = new TableCell();
  const seen: string[] = [];
  const leave = cell.onPublish((published) => seen.push(`a${published.version}${cell.current === published}`));
  cell.onPublish((published) => seen.push(`b${published.version}`));
  cell.publish(table(1));
  leave();
  cell.publish(table(2));
  expect(seen).toEqual(["a1true", "b1", "b2"]);
});
