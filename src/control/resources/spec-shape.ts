// Reads what somebody sent as a resource: its shape, and nothing about other resources. Every problem says which field it is about,
// what it is, and what to write instead.

import { z } from "zod";
import type { JsonSchema } from "../../config/schema-fields.ts";
import { shapeFindings } from "../../config/shape-problems.ts";
import type { Path } from "../../routing/finding.ts";
import type { GroupSpec, Kind, SandboxSpec, ServiceSpec } from "../resource.ts";
import { specSchemas } from "./schema.ts";

/** What is wrong with one field of a request. */
export interface FieldProblem {
  /** JSON Pointer (RFC 6901) into the body; "" is the whole of it. */
  readonly pointer: string;
  readonly message: string;
  /** What to write instead. */
  readonly hint?: string | undefined;
}

/** Specs by kind. */
export interface SpecOf {
  readonly service: ServiceSpec;
  readonly sandbox: SandboxSpec;
  readonly group: GroupSpec;
}

export type SpecResult<K extends Kind> =
  | { readonly ok: true; readonly spec: SpecOf[K] }
  | { readonly ok: false; readonly problems: readonly FieldProblem[] };

/** Problems that are listed; a generated body can be wrong in thousands of places. */
export const PROBLEMS_MAX = 20;

/** Fields of answers that nobody writes: a resource that was read can be sent back as it is. */
export const READ_ONLY: readonly string[] = [
  "kind",
  "createdAt",
  "createdBy",
  "updatedAt",
  "updatedBy",
  "status",
  "members",
  "connected",
  "warnings",
  "temporary",
  "warnings",
];

/** The spec in `fields`, defaults filled in. Fields that nobody writes are passed over, others that are unknown are problems. */
export function readSpec<K extends Kind>(kind: K, fields: Readonly<Record<string, unknown>>): SpecResult<K> {
  const written = Object.fromEntries(Object.entries(fields).filter(([name]) => !READ_ONLY.includes(name)));
  const shape = specSchemas[kind].safeParse(written, { reportInput: false });
  // The schema of a kind gives the spec of that kind; TypeScript does not follow the type parameter into the table.
  if (shape.success) return { ok: true, spec: shape.data as SpecOf[K] };
  const problems = shapeFindings(bounded(shape.error.issues), written, jsonSchemaOf(kind), nowhere);
  return {
    ok: false,
    problems: problems.slice(0, PROBLEMS_MAX).map(({ place, message, why, hint }) => ({
      pointer: pointerTo(place.path),
      message: [message, why].filter((part) => part !== undefined).join(", "),
      ...(hint === undefined ? {} : { hint: hint.replace("at the top of the file", "at the top") }),
    })),
  };
}

/** RFC 6901 §3. */
export function pointerTo(path: Path): string {
  return path.map((step) => `/${String(step).replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

/** There is no file to point into. */
const nowhere = { locate: () => [], written: () => undefined };

const jsonSchemas = new Map<Kind, JsonSchema>();

function jsonSchemaOf(kind: Kind): JsonSchema {
  const known = jsonSchemas.get(kind);
  if (known !== undefined) return known;
  const made = z.toJSONSchema(specSchemas[kind], { io: "input", target: "draft-7" }) as JsonSchema;
  jsonSchemas.set(kind, made);
  return made;
}

function bounded(issues: readonly z.core.$ZodIssue[]): readonly z.core.$ZodIssue[] {
  return issues
    .slice(0, PROBLEMS_MAX)
    .map((issue) =>
      issue.code === "unrecognized_keys" ? { ...issue, keys: issue.keys.slice(0, PROBLEMS_MAX) } : issue,
    );
}
