import { isNode, parse } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";

/**
 * The names that a reader can look for in a source: top-level functions, classes, constants and types, and
 * `Class.member` (also the bare member, since docs say `relay.ts:onResponseHead`) for the members of classes, interfaces
 * and object literals.
 */
export function declaredNames(source: string): Set<string> {
  const names = new Set<string>();
  for (const statement of parse(source)["body"] as readonly SyntaxNode[]) {
    const declaration = statement.type.startsWith("Export") ? statement["declaration"] : statement;
    if (isNode(declaration)) addDeclaration(declaration, names);
  }
  return names;
}

function addDeclaration(node: SyntaxNode, names: Set<string>): void {
  if (node.type === "VariableDeclaration") {
    for (const one of node["declarations"] as readonly SyntaxNode[]) addNamed(one, one["init"], names);
  } else if (isNode(node["body"])) {
    addNamed(node, node["body"], names);
  } else {
    addNamed(node, undefined, names);
  }
}

function addNamed(node: SyntaxNode, body: unknown, names: Set<string>): void {
  const name = keyName(node["id"]);
  if (name === "") return;
  names.add(name);
  for (const member of membersOf(body)) names.add(member).add(`${name}.${member}`);
}

function membersOf(body: unknown): string[] {
  if (!isNode(body)) return [];
  if (body.type === "TSAsExpression" || body.type === "TSSatisfiesExpression") return membersOf(body["expression"]);
  const members = body.type === "ObjectExpression" ? body["properties"] : body["body"];
  if (!Array.isArray(members)) return [];
  return members.filter(isNode).flatMap((member) => keyName(member["key"]) || []);
}

function keyName(node: unknown): string {
  if (!isNode(node)) return "";
  if (node.type === "Identifier" || node.type === "PrivateIdentifier") return String(node["name"]);
  return node.type === "Literal" && typeof node["value"] === "string" ? node["value"] : "";
}
