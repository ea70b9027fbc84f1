import { dottedName, isNode, lineOf, parse, walk } from "./syntax.ts";
import type { SyntaxNode } from "./syntax.ts";

/** One house rule about calls: what is banned, where it is banned, and what to write instead. */
interface CallRule {
  /** Dotted names as written at the place of use; `new X` for constructors, `x.*` for every member of x. */
  readonly banned: readonly string[];
  readonly where: (file: string) => boolean;
  readonly instead: string;
}

const linesMax = 400;
const isTest = (file: string): boolean => file.endsWith(".test.ts") || file.startsWith("test/");
const isProduct = (file: string): boolean => file.startsWith("src/") && !isTest(file);
const isProductBelow = (file: string, ...layers: readonly string[]): boolean =>
  isProduct(file) && layers.some((layer) => file.startsWith(`src/${layer}/`));
/** Talks to a person at a terminal, or is a process of its own. */
const isProgram = (file: string): boolean => file === "src/main.ts" || isProductBelow(file, "cli", "demo");

const callRules: readonly CallRule[] = [
  {
    banned: ["console.*"],
    where: (file) => isProduct(file) && !isProgram(file),
    instead: "the Log that you were given (src/base/log.ts): it is structured and has a level",
  },
  {
    banned: ["new Function", "eval"],
    where: () => true,
    instead: "code that is there to be read: generated functions hide from types, profiles and reviewers",
  },
  {
    banned: ["process.exit"],
    where: (file) => (isProduct(file) && !isProgram(file)) || isTest(file),
    instead: "a returned outcome; the program sets process.exitCode at its end, so that pending output is written",
  },
  {
    banned: ["process.env"],
    where: (file) => isProduct(file) && !isProgram(file),
    instead: "a parameter: the environment is read once, by the program, and is a value from there on",
  },
  {
    banned: ["Date.now", "new Date"],
    where: (file) => isProductBelow(file, "proxy", "routing", "protocol"),
    instead: "coarse.nowMs of src/base/clock.ts: a field read, monotonic",
  },
  {
    banned: ["setTimeout", "setInterval", "setImmediate", "performance.now", "Math.random", "process.hrtime"],
    where: (file) => isProductBelow(file, "routing", "protocol"),
    instead: "a parameter: these layers are pure, and tests and fuzzers rely on that",
  },
  {
    banned: ["readFileSync", "writeFileSync", "statSync", "existsSync", "readdirSync", "execFileSync", "spawnSync"],
    where: (file) => isProductBelow(file, "proxy", "table", "admin", "telemetry"),
    instead: "node:fs/promises: one synchronous read delays every stream of the process",
  },
  {
    banned: ["only", "skip", "todo", "fails", "skipIf", "runIf"].flatMap((modifier) =>
      ["test", "it", "describe", "suite", "bench", "context", "ctx", "t"].map((subject) => `${subject}.${modifier}`),
    ),
    where: isTest,
    instead: "a test that runs everywhere; what it lacks on some machine is installed by the project or fails by name",
  },
];

const textRules: readonly { readonly pattern: RegExp; readonly instead: string }[] = [
  { pattern: /\b(?:TODO|FIXME|XXX|HACK)\b/, instead: "do it now, or file an issue and say here what is so and why" },
  { pattern: /\bRFC ?(?:723[0-5]|7540|2616)\b/, instead: "cite RFC 9110, 9112 and 9113, which replaced it" },
];

/** What is untidy in one TypeScript file; each problem says what to write instead. */
export function tidyProblems(file: string, source: string): string[] {
  const tree = parse(source);
  return [...nameProblems(file), ...sizeProblems(file, source), ...textProblems(file, source)].concat(
    callProblems(file, source, tree),
    nonNullProblems(file, source, tree),
  );
}

function nameProblems(file: string): string[] {
  const parts = file.split("/");
  const odd = parts.filter((part) => !/^[a-z0-9]+(?:[-.][a-z0-9]+)*$/.test(part));
  const vague = parts.filter((part) => /^(?:utils?|helpers?|common|misc)(?:\.test)?(?:\.ts)?$/.test(part));
  return [
    ...odd.map((part) => `${file}: ${part}: names are lower case with hyphens`),
    ...vague.map((part) => `${file}: ${part} says nothing; name the file for its noun or verb`),
  ];
}

function sizeProblems(file: string, source: string): string[] {
  const lines = source.trimEnd().split("\n").length;
  if (lines <= linesMax || /\blong because\b/i.test(topComment(source))) return [];
  return [`${file}: ${lines} lines, more than ${linesMax}; split it, or say "Long because ..." in its top comment`];
}

/** The comments before the first declaration: above the imports or below them. */
function topComment(source: string): string {
  const head = /^(?:\s+|\/\/.*|\/\*[^]*?\*\/|import\b[^;]*;)*/.exec(source)?.[0] ?? "";
  return head.replaceAll(/\n\s*(?:\/\/|\*)?\s*/g, " ");
}

function textProblems(file: string, source: string): string[] {
  return source.split("\n").flatMap((line, index) =>
    textRules.flatMap(({ pattern, instead }) => {
      const found = pattern.exec(line)?.[0];
      return found === undefined ? [] : [`${file}:${index + 1}: ${found}: ${instead}`];
    }),
  );
}

function callProblems(file: string, source: string, tree: SyntaxNode): string[] {
  const rules = callRules.filter((rule) => rule.where(file));
  const problems: string[] = [];
  walk(tree, (node) => {
    const name = usedName(node);
    if (name === "") return;
    const rule = rules.find(({ banned }) => banned.includes(name) || banned.includes(name.replace(/\.\w+$/, ".*")));
    if (rule !== undefined) problems.push(`${file}:${lineOf(source, node.start)}: not ${name}, but ${rule.instead}`);
  });
  return problems;
}

/** The name that a node uses: a member (called or handed on), a plain call, or a constructor without arguments to date. */
function usedName(node: SyntaxNode): string {
  if (node.type === "MemberExpression") return dottedName(node);
  const callee = node["callee"];
  if (!isNode(callee) || callee.type !== "Identifier") return "";
  if (node.type === "CallExpression") return dottedName(callee);
  if (node.type !== "NewExpression") return "";
  // `new Date(value)` formats; only `new Date()` reads the clock.
  const name = dottedName(callee);
  return name === "Date" && (node["arguments"] as readonly unknown[]).length > 0 ? "" : `new ${name}`;
}

/** A non-null `!` is a claim that the compiler cannot check; somebody has to have written down why it holds. */
function nonNullProblems(file: string, source: string, tree: SyntaxNode): string[] {
  if (!isProduct(file)) return [];
  let first: SyntaxNode | undefined;
  walk(tree, (node) => {
    if (node.type === "TSNonNullExpression") first ??= node;
  });
  const reasons = (source.match(/\/\*[^]*?\*\/|\/\/.*/g) ?? []).some((comment) => comment.includes("`!`"));
  if (first === undefined || reasons) return [];
  const where = `${file}:${lineOf(source, first.start)}`;
  return [
    `${where}: a non-null \`!\` without its reason; narrow the type, or say in a comment with \`!\` in it why it holds`,
  ];
}
