// From a fed table to a compiled one, without the parsers of files: in the sidecar's own process when the table is small.

import { createHash, randomBytes } from "node:crypto";
import { compile } from "../routing/compile.ts";
import { isList } from "../routing/document.ts";
import type { EndpointsDocument, TableDocument } from "../routing/document.ts";
import type { Finding } from "../routing/finding.ts";
import { selfCheck } from "../routing/self-check.ts";
import type { TableImage } from "../routing/table-image.ts";
import { validate } from "../routing/validate.ts";

/** What became of it. */
export type CompiledFed =
  | {
      readonly ok: true;
      /** First 12 hex digits of the SHA-256 of the document's canonical JSON: the same on every sidecar with the same scope. */
      readonly digest: string;
      readonly image: TableImage;
      /** One line each. */
      readonly warnings: readonly string[];
    }
  /** One line per problem, never none. */
  | { readonly ok: false; readonly digest: string; readonly problems: readonly string[] };

/** Validates, compiles and self-checks. Throws only for bugs of ours. */
export function compileFed(document: TableDocument): CompiledFed {
  const digest = fedDigest(document);
  const { problems, problemsMore, warnings } = validate(document);
  const misshapen = [...shapeProblems(document)];
  if (misshapen.length + problems.length > 0) {
    const more = problemsMore > 0 ? [`${problemsMore} more problems like these`] : [];
    return { ok: false, digest, problems: [...misshapen, ...problems.map(lineOf), ...more] };
  }
  const seed = randomBytes(8);
  const image = compile(document, { low: seed.readInt32LE(0), high: seed.readInt32LE(4) });
  selfCheck(document, image);
  return { ok: true, digest, image, warnings: warnings.map(lineOf) };
}

/** What `CompiledTable.digest` is for a fed table. */
export function fedDigest(document: TableDocument): string {
  return createHash("sha256").update(canonicalJson(document)).digest("hex").slice(0, 12);
}

/** JSON with the fields of every object in the order of their names (UTF-16), without spaces. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return `{${fields.map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`).join(",")}}`;
}

/** As for a file, with the way to the place in front. */
function lineOf({ place, message, why, hint }: Finding): string {
  return `${place.path.join(".")}: ${[message, why, hint].filter((part) => part !== undefined).join(", ")}`;
}

const SHAPE_PROBLEMS_MAX = 20;

/** What the schema of a table file would not let through, and the messages of the feed can still say. */
function* shapeProblems({ services, sandboxes }: TableDocument): Generator<string> {
  let found = 0;
  for (const [name, { ports = {}, baseline }] of Object.entries(services)) {
    if (found >= SHAPE_PROBLEMS_MAX) return;
    for (const [port, number] of Object.entries(ports)) {
      if (number >= 1 && number <= 65535) continue;
      found++;
      yield `services.${name}.ports.${port}: ${number} is not a port number, write 1 to 65535`;
    }
    if (baseline !== undefined && hasEmptyList(baseline)) {
      found++;
      yield `services.${name}.baseline: a list of endpoints must not be empty`;
    }
  }
  for (const [name, sandbox] of Object.entries(sandboxes)) {
    if (found >= SHAPE_PROBLEMS_MAX) return;
    for (const [service, endpoints] of Object.entries(sandbox.services)) {
      if (!hasEmptyList(endpoints)) continue;
      found++;
      yield `sandboxes.${name}.services.${service}: a list of endpoints must not be empty`;
    }
  }
}

function hasEmptyList(endpoints: EndpointsDocument): boolean {
  if (isList(endpoints)) return endpoints.length === 0;
  const lists = Object.values(endpoints);
  return lists.length === 0 || lists.some((list) => list.length === 0);
}
