// Files with resources: one or several YAML documents, `{ kind, name, ...spec }` each, or a whole table. JSON is YAML.

import { RefusedError } from "../../base/refused-error.ts";
import { text as readAll } from "node:stream/consumers";
import { fileKind } from "../../config/file-kind.ts";
import { readTable } from "../../config/load-table.ts";
import { formatPosition, formatProblem, toProblems } from "../../config/problem.ts";
import type { Problem } from "../../config/problem.ts";
import { parseYaml } from "../../config/yaml.ts";
import type { SourceMap } from "../../config/yaml.ts";
import type { Kind } from "../../control/resource.ts";
import { nameAt, valueAt } from "../../routing/finding.ts";
import type { Finding, Path } from "../../routing/finding.ts";
import { checkName } from "../../routing/names.ts";
import { nearest } from "../../routing/nearest.ts";
import { kinds, plurals, withoutReadOnly } from "../../client/resource-view.ts";
import type { Spec } from "../../client/resource-view.ts";
import { readFile } from "../read-file.ts";
import { isMap } from "../../base/is-map.ts";

/** A resource as a file has it. */
export interface FileResource {
  readonly kind: Kind;
  readonly name: string;
  readonly spec: Spec;
  /** `pr-7.yaml:3:1`, where it begins; "" when it is from no file. */
  readonly at: string;
  /** The place of what a JSON Pointer (RFC 6901) into the spec names, as `at`. */
  readonly locate: (pointer: string) => string;
  /** It is from a table file, where services need not be declared. */
  readonly ofTable: boolean;
}

/** What the file may leave out. */
export interface FileDefaults {
  /** For documents without a `kind`. */
  readonly kind?: Kind | undefined;
  /** For documents without a `name`. */
  readonly name?: string | undefined;
}

/** Reads files, `-` is stdin; a `RefusedError` with all of their problems. Services come first, then sandboxes, then groups. */
export async function readResourceFiles(
  files: readonly string[],
  defaults: FileDefaults = {},
): Promise<readonly FileResource[]> {
  const problems: Problem[] = [];
  const resources: FileResource[] = [];
  for (const file of files) {
    const label = file === "-" ? "stdin" : file;
    const read = readResources(file === "-" ? await readStdin() : readFile(file).toString("utf8"), label, defaults);
    problems.push(...read.problems);
    resources.push(...read.resources);
  }
  if (problems.length > 0) throw new RefusedError(problems.map(formatProblem).join("\n"));
  const twice = firstTwice(resources);
  if (twice !== undefined) {
    const [first, second] = twice;
    throw new RefusedError(
      `${second.at}: ${second.kind} ${second.name} is here twice, first at ${first.at}; keep one of them`,
    );
  }
  if (resources.length === 0)
    throw new RefusedError(`${files.join(", ")}: nothing is in it, write { kind: sandbox, name: pr-7, services: ... }`);
  return resources.toSorted((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind));
}

function readStdin(): Promise<string> {
  if (process.stdin.isTTY)
    throw new RefusedError("stdin: is a terminal; pipe a file into it, or name one with -f FILE");
  return readAll(process.stdin);
}

function firstTwice(resources: readonly FileResource[]): readonly [FileResource, FileResource] | undefined {
  const seen = new Map<string, FileResource>();
  for (const resource of resources) {
    const id = `${resource.kind} ${resource.name}`;
    const first = seen.get(id);
    if (first !== undefined) return [first, resource];
    seen.set(id, resource);
  }
  return undefined;
}

interface Read {
  readonly resources: readonly FileResource[];
  readonly problems: readonly Problem[];
}

/** The resources of one text; `file` is what its problems are told with. */
export function readResources(text: string, file: string, defaults: FileDefaults): Read {
  const resources: FileResource[] = [];
  const problems: Problem[] = [];
  for (const document of documentsOf(text)) {
    const parsed = parseYaml(document, file);
    if (!parsed.ok) problems.push(...parsed.problems);
    else if (parsed.value !== null && parsed.value !== undefined) {
      const read = isTable(parsed.value, defaults)
        ? fromTable(document, file)
        : fromDocument(parsed.value, parsed.source, defaults);
      resources.push(...read.resources);
      problems.push(...read.problems);
    }
  }
  return { resources, problems };
}

/** Each document with as many empty lines before it that its positions are those of the file. */
function documentsOf(text: string): readonly string[] {
  const documents: string[] = [];
  let lines: string[] = [];
  const all = text.replace(/^\ufeff/u, "").split("\n");
  for (const [index, line] of all.entries()) {
    if (!/^---(?:\s|$)/u.test(line)) {
      lines.push(line);
      continue;
    }
    documents.push(lines.join("\n"));
    // What stands behind the mark is of the new document.
    lines = [...Array.from({ length: index }, () => ""), `   ${line.slice(3)}`.trimEnd()];
  }
  documents.push(lines.join("\n"));
  return documents.filter((document) => document.trim() !== "");
}

/** A table has its resources by name, a resource one of its own. */
function isTable(value: unknown, defaults: FileDefaults): boolean {
  if (!isMap(value) || Object.hasOwn(value, "kind") || Object.hasOwn(value, "name")) return false;
  if (isMap(value["sandboxes"]) || isMap(value["groups"])) return true;
  return defaults.name === undefined && fileKind(value) === "table";
}

function fromTable(text: string, file: string): Read {
  const read = readTable(text, file);
  if (!read.ok) return { resources: [], problems: read.problems };
  const parsed = parseYaml(text, file);
  const resources = kinds.flatMap((kind) => {
    const section = plurals[kind];
    const names = Object.entries(read.document[section]);
    const places = names.map(([name]) => nameAt(section, name));
    const positions = parsed.ok ? parsed.source.locate(places) : [];
    return names.map(([name, spec], index): FileResource => {
      const at = formatPosition(positions[index] ?? { file, line: 1, column: 1 });
      const locate = (pointer: string): string =>
        parsed.ok ? locatedIn(parsed.source, [section, name, ...pathOf(pointer)], at) : at;
      return { kind, name, spec: spec as Spec, at, locate, ofTable: true };
    });
  });
  return { resources, problems: [] };
}

function fromDocument(value: unknown, source: SourceMap, defaults: FileDefaults): Read {
  const findings: Finding[] = [];
  if (!isMap(value)) {
    findings.push({
      place: valueAt(),
      message: "this is no map",
      hint: "write { kind: sandbox, name: pr-7, services: ... }",
    });
    return { resources: [], problems: toProblems(findings, source) };
  }
  const kind = readKind(value, defaults, findings);
  const name = value["name"] ?? defaults.name;
  if (name === undefined || name === null) {
    findings.push({ place: valueAt(), message: "the name is missing", hint: "add name: pr-7" });
  } else if (typeof name !== "string") {
    const written = source.written(["name"]) ?? String(name);
    findings.push({ place: valueAt("name"), message: "the name is no text", hint: `write "${written}" in quotes` });
  } else if (defaults.name !== undefined && name !== defaults.name) {
    findings.push({
      place: valueAt("name"),
      message: `the name here is ${name}, and the command line says ${defaults.name}`,
      hint: "leave one of them out",
    });
  } else {
    const malformed = checkName(name);
    if (malformed !== undefined) {
      const message = `${JSON.stringify(name)} is not a name`;
      findings.push({ place: valueAt("name"), message, why: malformed.problem, hint: malformed.hint });
    }
  }
  if (kind === undefined || findings.length > 0) return { resources: [], problems: toProblems(findings, source) };
  const at = locatedIn(source, [], "");
  const locate = (pointer: string): string => locatedIn(source, pathOf(pointer), at);
  const spec = withoutReadOnly(value);
  return { resources: [{ kind, name: String(name), spec, at, locate, ofTable: false }], problems: [] };
}

function locatedIn(source: SourceMap, path: Path, otherwise: string): string {
  const [position] = source.locate([path.length === 0 ? valueAt() : nameAt(...path)]);
  return position === undefined ? otherwise : formatPosition(position);
}

/** RFC 6901 §4. */
function pathOf(pointer: string): Path {
  const steps = pointer.split("/").slice(1);
  return steps.map((step) =>
    /^\d{1,9}$/u.test(step) ? Number(step) : step.replaceAll("~1", "/").replaceAll("~0", "~"),
  );
}

function readKind(
  value: Readonly<Record<string, unknown>>,
  defaults: FileDefaults,
  findings: Finding[],
): Kind | undefined {
  const given = value["kind"];
  if (given === undefined && defaults.kind !== undefined) return defaults.kind;
  const found = kinds.find((kind) => kind === given);
  if (found !== undefined) return found;
  if (given === undefined) {
    findings.push({
      place: valueAt(),
      message: "the kind is missing",
      hint: "add kind: sandbox, kind: group or kind: service",
    });
    return undefined;
  }
  const guess = nearest(String(given), kinds) ?? "sandbox";
  const message = `there is no kind ${JSON.stringify(given)}`;
  findings.push({ place: valueAt("kind"), message, why: `the kinds are ${kinds.join(", ")}`, hint: `write ${guess}` });
  return undefined;
}
