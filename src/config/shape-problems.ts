// What zod says about the shape of a document, as findings that a person can act on: which field, what it is, what to write.

import type { z } from "zod";
import { parseEndpoint } from "../routing/endpoint-name.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { nearest } from "../routing/nearest.ts";
import { fieldNames, fieldPaths, schemaAt } from "./schema-fields.ts";
import type { JsonSchema } from "./schema-fields.ts";
import type { SourceMap } from "./yaml.ts";

type Issue = z.core.$ZodIssue;

/** Findings of one document, each at its place. `root` is the document that was parsed, `schema` its JSON Schema. */
export function shapeFindings(
  issues: readonly Issue[],
  root: unknown,
  schema: JsonSchema,
  source: SourceMap,
): readonly Finding[] {
  return issues.flatMap((issue) => fromIssue(issue, [], { root, schema, source }));
}

interface Context {
  readonly root: unknown;
  readonly schema: JsonSchema;
  readonly source: SourceMap;
}

function fromIssue(issue: Issue, prefix: Path, context: Context): readonly Finding[] {
  const path = [...prefix, ...issue.path.map((step) => (typeof step === "symbol" ? String(step) : step))];
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.map((key) => unknownField(path, key, context));
    case "invalid_type":
      return [wrongType(path, [issue.expected], context)];
    case "invalid_union":
      return fromUnion(issue.errors, path, context);
    case "invalid_value":
      return [wrongValue(path, issue.values.map(String), context)];
    case "too_small":
    case "too_big":
      return [outOfRange(path, issue, context)];
    default:
      return [{ place: valueAt(...path), message: `${fieldName(path)}: ${issue.message}` }];
  }
}

function unknownField(path: Path, key: string, context: Context): Finding {
  const known = fieldNames(schemaAt(context.schema, path));
  const guess = nearest(key, known);
  const place = nameAt(...path, key);
  const message = `unknown field ${JSON.stringify(key)}${path.length === 0 ? "" : ` in ${fieldName(path)}`}`;
  if (guess !== undefined) return { place, message, hint: `write ${guess}` };
  const homes = homesOf(context.schema, key);
  if (homes.length > 0 && homes.length <= HOMES_MAX) return { place, message, hint: `write it ${homes.join(" or ")}` };
  const spoken = foreign[key];
  if (spoken !== undefined) return { place, message, ...spoken };
  const why = known.length === 0 ? "nothing is expected here" : `the fields here are ${known.join(", ")}`;
  return { place, message, why, hint: "remove it" };
}

/** A name that stands in more places than these says nothing about which was meant. */
const HOMES_MAX = 2;

/** Where a field of this name may stand: `in tenancy`, `in each of listeners`. */
function homesOf(schema: JsonSchema, name: string): readonly string[] {
  const homes = fieldPaths(schema).filter((path) => path.at(-1) === name);
  return homes.map((path) => {
    const home = path.slice(0, -1);
    if (home.length === 0) return "at the top of the file";
    return home.at(-1) === 0 ? `in one of ${fieldName(home.slice(0, -1))}` : `in ${fieldName(home)}`;
  });
}

/** What stands somewhere else than in this file. */
const foreign: Readonly<Record<string, Pick<Finding, "why" | "hint"> | undefined>> = {
  strict: { why: "the routing table says which sandboxes are strict", hint: "write it there in sandboxes.<name>" },
  require: {
    why: "each request says for itself which services it requires",
    hint: "send baggage: sidelane=<key>;require=<service>",
  },
  journal: { why: "its size is a limit", hint: "write journalEntriesMax in limits" },
};

function wrongType(path: Path, expected: readonly string[], context: Context): Finding {
  const value = valueIn(context.root, path);
  const wanted = expected.map((type) => typeNames[type] ?? type).join(" or ");
  const example = exampleOf(path, context);
  if (value === undefined) {
    const inside = path.length > 1 ? ` in ${fieldName(path.slice(0, -1))}` : "";
    const hint = `add ${path.at(-1)}: ${example ?? `<${wanted}>`}`;
    return { place: nameAt(...path), message: `field ${JSON.stringify(path.at(-1))} is missing${inside}`, hint };
  }
  const name = fieldName(path);
  if (value === null) {
    return { place: nameAt(...path), message: `${name} is empty`, hint: `write ${example ?? wanted}, or remove it` };
  }
  if (expected.includes("string") && typeof value === "number" && example !== undefined) {
    // Only a port, where `host:port` belongs. With the text in quotes the next complaint would be the missing host.
    const endpoint = /:[0-9]+$/u.test(example) ? parseEndpoint(String(value), true) : undefined;
    if (endpoint !== undefined && "problem" in endpoint) {
      const message = `${name} is ${typeOf(value)}, not host:port`;
      return { place: valueAt(...path), message, why: endpoint.problem, hint: endpoint.hint };
    }
  }
  const written = context.source.written(path);
  if (expected.includes("string") && (typeof value === "number" || typeof value === "boolean")) {
    const hint = `write "${written ?? String(value)}" in quotes`;
    return { place: valueAt(...path), message: `${name} is ${typeOf(value)}, not text`, hint };
  }
  if (expected.includes("array") && typeof value === "string") {
    const item = mapAround(value, schemaAt(context.schema, [...path, 0])) ?? value;
    return { place: valueAt(...path), message: `${name} is text, not ${wanted}`, hint: `write [${item}]` };
  }
  if (/^(?:int|number)$/u.test(expected[0] ?? "") && typeof value === "string" && /^[0-9]+$/u.test(value)) {
    return { place: valueAt(...path), message: `${name} is ${typeOf(value)}, not ${wanted}`, hint: `write ${value}` };
  }
  const elsewhere = typeof value === "boolean" ? (switches[name] ?? indentedTooDeep(path, context)) : undefined;
  const around = typeof value === "string" ? mapAround(value, schemaAt(context.schema, path)) : undefined;
  return {
    place: valueAt(...path),
    message: `${name} is ${typeOf(value)}, not ${wanted}`,
    ...(elsewhere ?? (example === undefined ? {} : { hint: `write ${around ?? example}` })),
  };
}

/** Fields that sound as if they switched something on, and where that is done. */
const switches: Readonly<Record<string, Pick<Finding, "why" | "hint"> | undefined>> = {
  "tenancy.edge": {
    why: "it says whom the listeners at the edge trust",
    hint: "write edge: true in the listener that the world calls",
  },
};

/** A field of the map around, where any name may stand: `strict` among the services of a sandbox. */
function indentedTooDeep(path: Path, { schema }: Context): Pick<Finding, "hint"> | undefined {
  const around = path.slice(0, -2);
  const field = schemaAt(schema, around)?.properties?.[String(path.at(-1))];
  return field?.type === "boolean" ? { hint: `write it one level further out, in ${fieldName(around)}` } : undefined;
}

/** The map that a text was meant as: the one with the field that has it for an example, else the map's own example. */
function mapAround(text: string, schema: JsonSchema | undefined): string | undefined {
  const fields = Object.entries(schema?.properties ?? {});
  const meant = fields.find(([, field]) => field.examples?.includes(text));
  if (meant !== undefined && (schema?.required ?? []).length === 0) return asYaml({ [meant[0]]: text });
  return schema?.properties === undefined || schema.examples === undefined ? undefined : asYaml(schema.examples[0]);
}

/** Of several shapes the one that the value has is the one that was meant. */
function fromUnion(options: readonly (readonly Issue[])[], path: Path, context: Context): readonly Finding[] {
  // One word where a list or a map may stand as well was not meant by whoever wrote such a one.
  const hasParts = typeof valueIn(context.root, path) === "object";
  const isOtherShape = (issue: Issue): boolean =>
    issue.path.length === 0 && (issue.code === "invalid_type" || (hasParts && issue.code === "invalid_value"));
  const meant = options.filter((issues) => !issues.some(isOtherShape));
  const best = meant.toSorted((a, b) => a.length - b.length)[0];
  if (best !== undefined) return best.flatMap((issue) => fromIssue(issue, path, context));
  const expected = options.flat().flatMap((issue) => (issue.code === "invalid_type" ? [issue.expected] : []));
  return [wrongType(path, [...new Set(expected)], context)];
}

function wrongValue(path: Path, values: readonly string[], context: Context): Finding {
  const value = valueIn(context.root, path);
  if (value === undefined || value === null) return wrongType(path, [values.join("|")], context);
  const guess = nearest(String(value), values);
  return {
    place: valueAt(...path),
    message: `${fieldName(path)} is ${JSON.stringify(value)}`,
    why: `it must be one of ${values.join(", ")}`,
    hint: `write ${guess ?? values[0]}`,
  };
}

function outOfRange(path: Path, issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, context: Context): Finding {
  const name = fieldName(path);
  if (issue.origin === "array" || issue.origin === "string") {
    const what = issue.code === "too_small" ? "is empty" : "is too long";
    return { place: valueAt(...path), message: `${name} ${what}`, why: issue.message };
  }
  const schema = schemaAt(context.schema, path);
  return {
    place: valueAt(...path),
    message: `${name} is ${String(valueIn(context.root, path))}`,
    why: issue.code === "too_small" ? "too small" : "too large",
    hint: `write a number from ${schema?.minimum} to ${schema?.maximum}`,
  };
}

const typeNames: Readonly<Record<string, string | undefined>> = {
  array: "a list",
  boolean: "true or false",
  int: "a whole number",
  number: "a number",
  object: "a map",
  record: "a map",
  string: "text",
};

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object") return "a map";
  if (typeof value === "string") return `the text ${JSON.stringify(value.slice(0, 100))}`;
  if (typeof value === "number") return `the number ${value}`;
  return String(value);
}

/** The first example of the field, or a list of one of its entries, as one would write it. */
function exampleOf(path: Path, context: Context): string | undefined {
  const schema = schemaAt(context.schema, path);
  const example = schema?.examples?.[0];
  if (example !== undefined) return asYaml(example);
  const entry = schema?.items?.examples?.[0];
  return entry === undefined ? undefined : asYaml([entry]);
}

/** A value in YAML's flow style. Of what needs quotes, examples hold host patterns. */
function asYaml(value: unknown): string {
  if (typeof value === "string" && /[{}*]/u.test(value)) return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(asYaml).join(", ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  return `{ ${Object.entries(value)
    .map(([name, field]) => `${name}: ${asYaml(field)}`)
    .join(", ")} }`;
}

/** `listeners[0].address` */
export function fieldName(path: Path): string {
  const name = path.map((step) => (typeof step === "number" ? `[${step}]` : `.${step}`)).join("");
  return name === "" ? "the file" : name.replace(/^\./u, "");
}

function valueIn(root: unknown, path: Path): unknown {
  let value = root;
  for (const step of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, step)) return undefined;
    value = (value as Record<string | number, unknown>)[step];
  }
  return value;
}
