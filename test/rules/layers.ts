import type { Import } from "./imports.ts";

/**
 * The layers of src/, top to bottom; a layer may use those below it, and itself. `proxy` and `table` stand side by side
 * and never see each other: they meet in `src/routing/table-cell.ts`. So do `operator`, `webhook` and `intercept`: what they share is
 * in `src/kube/`.
 */
const layers: readonly (readonly string[])[] = [
  ["main"],
  ["cli"],
  ["demo"],
  ["doctor"],
  ["operator", "webhook", "intercept"],
  ["client"],
  ["control"],
  ["admin"],
  ["proxy", "table"],
  ["config"],
  ["kube"],
  ["feed"],
  ["routing"],
  ["protocol"],
  ["telemetry"],
  ["base"],
];

/** Layers that know no sockets, files, timers or clocks, and the `node:` modules that are as pure as they are. */
const pureLayers = new Set(["routing", "protocol"]);
const pureModules = new Set(["node:assert", "node:buffer", "node:crypto", "node:util"]);

/** Layers on the request path or under it, and what costs four to twenty times a byte relay there. */
const byteLayers = new Set(["proxy", "routing", "protocol"]);
const heavyModules = new Set(["node:http", "node:http2", "node:https", "undici"]);

/** The layer of a project file (`src/proxy/relay.ts` -> `proxy`, `src/main.ts` -> `main`), or "" outside src/. */
function layerOf(file: string): string {
  const [top, second = ""] = file.split("/");
  if (top !== "src") return "";
  return second.endsWith(".ts") ? second.slice(0, -".ts".length) : second;
}

/** What is wrong with one import of a product file, or undefined. */
export function layerProblem(one: Import): string | undefined {
  const where = `${one.file}:${one.line} imports ${one.specifier}`;
  const from = layerOf(one.file);
  const level = levelOf(from);
  if (level === -1) return `${one.file}: src/${from} is no layer; the layers are ${layers.flat().join(", ")}`;
  if (one.target === "") return moduleProblem(where, from, one.specifier);
  const to = layerOf(one.target);
  if (to === "") return `${where}: the product uses nothing outside src/ (move what is shared down into a layer)`;
  if (to === from) return undefined;
  const below = levelOf(to);
  if (below === -1) return `${where}: src/${to} is no layer`;
  if (below === level) {
    const meet = level === levelOf("proxy") ? "they meet in src/routing/table-cell.ts" : "move what is shared down";
    return `${where}: ${from} and ${to} never see each other; ${meet}`;
  }
  if (below < level) return `${where}: ${to} lies above ${from}; arrows point down only`;
  return undefined;
}

/**
 * Every cycle among the files, as a path that ends where it began. Type imports do not count: they are erased, and two
 * classes of one layer may name each other's type (an endpoint and its pool); across layers `layerProblem` forbids them.
 */
export function cycles(imports: readonly Import[]): string[][] {
  const uses = new Map<string, Set<string>>();
  for (const { file, target, typeOnly } of imports) {
    if (target === "" || typeOnly) continue;
    const targets = uses.get(file) ?? new Set();
    uses.set(file, targets.add(target));
  }
  const found: string[][] = [];
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): void => {
    const at = path.indexOf(file);
    if (at !== -1) found.push([...path.slice(at), file]);
    if (at !== -1 || done.has(file)) return;
    path.push(file);
    for (const target of uses.get(file) ?? []) visit(target);
    path.pop();
    done.add(file);
  };
  for (const file of uses.keys()) visit(file);
  return found;
}

function moduleProblem(where: string, from: string, specifier: string): string | undefined {
  if (byteLayers.has(from) && heavyModules.has(specifier)) {
    return `${where}: the request path is written on node:net and bytes (docs/decisions/0001-own-codec-on-net.md)`;
  }
  if (pureLayers.has(from) && specifier.startsWith("node:") && !pureModules.has(specifier)) {
    return `${where}: ${from} is pure, bytes and values in, results out; do this in a layer above and pass the result`;
  }
  return undefined;
}

function levelOf(layer: string): number {
  return layers.findIndex((level) => level.includes(layer));
}
