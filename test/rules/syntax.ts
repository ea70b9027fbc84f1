import { parseAst } from "vitest/node";

/** A node of the syntax tree (ESTree with the TypeScript additions); fields differ by type and are checked where read. */
export interface SyntaxNode {
  readonly type: string;
  readonly start: number;
  readonly end: number;
  readonly [field: string]: unknown;
}

/** Parses TypeScript with the parser that Vitest itself runs on. */
export function parse(source: string): SyntaxNode {
  return parseAst(source, { lang: "ts" }) as unknown as SyntaxNode;
}

/** Calls `visit` for every node, parents first. */
export function walk(node: SyntaxNode, visit: (node: SyntaxNode) => void): void {
  visit(node);
  for (const value of Object.values(node)) {
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) walk(child, visit);
    }
  }
}

export function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof (value as { type?: unknown }).type === "string";
}

/** The dotted name of an identifier or member access, such as `process.exit`; "" for everything else. */
export function dottedName(node: unknown): string {
  if (!isNode(node)) return "";
  if (node.type === "Identifier") return String(node["name"]);
  if (node.type !== "MemberExpression" || node["computed"] === true) return "";
  const object = dottedName(node["object"]);
  return object === "" ? "" : `${object}.${dottedName(node["property"])}`;
}

/** 1-based. */
export function lineOf(source: string, offset: number): number {
  return source.slice(0, offset).split("\n").length;
}
