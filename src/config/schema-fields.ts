// Walks over a JSON Schema that zod generated: which fields exist, of which type. Error messages, environment twins and the
// documentation read it, so that the zod schema stays the only definition.

import type { Path } from "../routing/finding.ts";

/** The part of JSON Schema that our schemas use. */
export interface JsonSchema {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly enum?: readonly string[];
  readonly const?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: JsonSchema | boolean;
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
}

/** Stands in a field's path for any name of a map whose names people choose. */
export const ANY_NAME = "<name>";

/** A field with one value of its own. */
export interface ScalarField {
  /** Names from the root; `0` stands for any position of a list, `ANY_NAME` for any name. */
  readonly path: Path;
  readonly schema: JsonSchema;
  readonly required: boolean;
}

/** Every scalar field of a schema, in its order. */
export function scalarFields(schema: JsonSchema, path: Path = [], required = true): readonly ScalarField[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap((option) => scalarFields(option, path, false));
  if (schema.items !== undefined) return scalarFields(schema.items, [...path, 0], required);
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([name, field]) =>
      scalarFields(field, [...path, name], schema.required?.includes(name) ?? false),
    );
  }
  if (typeof schema.additionalProperties === "object") {
    return scalarFields(schema.additionalProperties, [...path, ANY_NAME], false);
  }
  return [{ path, schema, required }];
}

/** Every field of a schema, with one value of its own or not; paths as in `ScalarField`. */
export function fieldPaths(schema: JsonSchema, path: Path = []): readonly Path[] {
  if (schema.anyOf !== undefined) return schema.anyOf.flatMap((option) => fieldPaths(option, path));
  if (schema.items !== undefined) return fieldPaths(schema.items, [...path, 0]);
  if (schema.properties !== undefined) {
    return Object.entries(schema.properties).flatMap(([name, field]) => [
      [...path, name],
      ...fieldPaths(field, [...path, name]),
    ]);
  }
  return typeof schema.additionalProperties === "object"
    ? fieldPaths(schema.additionalProperties, [...path, ANY_NAME])
    : [];
}

/** The schema of the value at a path, or undefined where there can be none. */
export function schemaAt(schema: JsonSchema, path: Path): JsonSchema | undefined {
  const [step, ...rest] = path;
  if (step === undefined) return schema;
  for (const option of schema.anyOf ?? [schema]) {
    const inside = stepInto(option, step);
    const found = inside === undefined ? undefined : schemaAt(inside, rest);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** The names a map may have at a path; empty where any will do. */
export function fieldNames(schema: JsonSchema | undefined): readonly string[] {
  return (schema?.anyOf ?? [schema]).flatMap((option) => Object.keys(option?.properties ?? {}));
}

function stepInto(schema: JsonSchema, step: string | number): JsonSchema | undefined {
  if (typeof step === "number") return schema.items;
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, step)) return schema.properties[step];
  return typeof schema.additionalProperties === "object" ? schema.additionalProperties : undefined;
}
