import { posix } from "node:path";
import { isNode, lineOf, parse, walk } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";

/** One use of another module. */
export interface Import {
  readonly file: string;
  readonly line: number;
  /** As written: `./clock.ts`, `node:net`, `zod`. */
  readonly specifier: string;
  /** The project file that it names, or "" when it is a package or a `node:` module. */
  readonly target: string;
  /** Erased at run time: `import type`, `export type ... from`, `import("...")` in a type. */
  readonly typeOnly: boolean;
}

const importing = new Set([
  "ImportDeclaration",
  "ExportNamedDeclaration",
  "ExportAllDeclaration",
  "ImportExpression",
  "TSImportType",
]);

/**
 * Every import of a source, by whatever syntax: static, type, dynamic, re-export, and `new URL("./x.ts", import.meta.url)`,
 * which is how a worker thread or a child process names its code.
 */
export function importsOf(file: string, source: string): Import[] {
  const found: Import[] = [];
  walk(parse(source), (node) => {
    const specifier = importing.has(node.type) ? literal(node["source"]) : urlOfModule(node);
    if (specifier === undefined) return;
    const target = specifier.startsWith(".") ? posix.join(posix.dirname(file), specifier) : "";
    const typeOnly =
      node.type === "TSImportType" || node["importKind"] === "type" || node["exportKind"] === "type" || onlyTypes(node);
    found.push({ file, line: lineOf(source, node.start), specifier, target, typeOnly });
  });
  return found;
}

/** True when the module only hands on what others export: a barrel. */
export function isBarrel(source: string): boolean {
  const body = (parse(source)["body"] as readonly SyntaxNode[]).filter((node) => node.type !== "ImportDeclaration");
  return body.length > 0 && body.every((node) => node.type.startsWith("Export") && isNode(node["source"]));
}

function onlyTypes(node: SyntaxNode): boolean {
  const specifiers = node["specifiers"];
  if (!Array.isArray(specifiers) || specifiers.length === 0) return false;
  return specifiers.every((one) => isNode(one) && (one["importKind"] === "type" || one["exportKind"] === "type"));
}

function literal(node: unknown): string | undefined {
  return isNode(node) && node.type === "Literal" && typeof node["value"] === "string" ? node["value"] : undefined;
}

function urlOfModule(node: SyntaxNode): string | undefined {
  if (node.type !== "NewExpression" || !isNode(node["callee"]) || node["callee"]["name"] !== "URL") return undefined;
  const specifier = literal((node["arguments"] as readonly unknown[])[0]);
  return specifier?.startsWith(".") === true && specifier.endsWith(".ts") ? specifier : undefined;
}
