// Tables of fields for the pages about configuration.

import { environmentName } from "../src/config/environment.ts";
import type { TwinSpace } from "../src/config/environment.ts";
import { scalarFields } from "../src/config/schema-fields.ts";
import type { JsonSchema, ScalarField } from "../src/config/schema-fields.ts";
import { fieldName } from "../src/config/shape-problems.ts";

/** Tables of the fields of a config, each with its environment twin. */
export interface FieldTables {
  /** The fields of one section. */
  readonly table: (belongs: (field: ScalarField) => boolean) => string;
  /** Those of a section of whole numbers. */
  readonly numberTable: (section: "limits" | "timeouts") => string;
}

export function fieldTables(schema: JsonSchema, space: TwinSpace): FieldTables {
  const fields = scalarFields(schema);
  const table = (belongs: (field: ScalarField) => boolean): string => {
    const rows = fields.filter(belongs).map((field) => {
      const { schema } = field;
      const example = code(schema.examples?.[0]);
      const cells = [nameCell(field, space), typeOf(field), defaultOf(field), example, schema.description ?? ""];
      return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
    });
    return [
      "| field and environment twin | type | default | example | meaning |",
      "|---|---|---|---|---|",
      ...rows,
    ].join("\n");
  };

  const numberTable = (section: "limits" | "timeouts"): string => {
    const rows = fields
      .filter((field) => field.path[0] === section)
      .map((field) => {
        const { schema } = field;
        const amount = (value: unknown): string => (typeof value === "number" ? withUnit(section, field, value) : "");
        const cells = [
          nameCell(field, space),
          amount(schema.default),
          `${amount(schema.minimum)} – ${amount(schema.maximum)}`,
        ];
        return `| ${[...cells, schema.description ?? ""].join(" | ")} |`;
      });
    return ["| field and environment twin | default | range | meaning |", "|---|---|---|---|", ...rows].join("\n");
  };
  return { table, numberTable };
}

function nameCell({ path }: ScalarField, space: TwinSpace): string {
  return `\`${fieldName(path).replaceAll("[0]", "[]")}\`<br>\`${environmentName(path, space)}\``;
}

function typeOf({ schema }: ScalarField): string {
  if (schema.const !== undefined) return code(schema.const);
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${value}\``).join(", ");
  if (schema.type === "integer") return `whole number, ${schema.minimum} to ${schema.maximum}`;
  if (schema.type === "number") return `number, ${schema.minimum} to ${schema.maximum}`;
  return schema.type === "boolean" ? "true or false" : "text";
}

function defaultOf({ schema, required }: ScalarField): string {
  return schema.default === undefined ? (required ? "required" : "none") : code(schema.default);
}

function code(value: unknown): string {
  return value === undefined ? "" : `\`${String(value)}\``;
}

/** A number as it is written, and as one would say it: `65536 (64 KiB)`, `10000 (10 s)`. */
function withUnit(section: "limits" | "timeouts", { path }: ScalarField, value: number): string {
  const units: readonly (readonly [number, string])[] =
    section === "timeouts"
      ? [
          [24 * 60 * 60_000, "d"],
          [60_000, "min"],
          [1000, "s"],
        ]
      : String(path.at(-1)).includes("Bytes")
        ? [
            [1024 ** 3, "GiB"],
            [1024 ** 2, "MiB"],
            [1024, "KiB"],
          ]
        : [];
  const unit = units.find(([size]) => value >= size && value % size === 0);
  return unit === undefined ? String(value) : `${value} (${value / unit[0]} ${unit[1]})`;
}
