// `npm run check`: everything that can be said about the sources without running the tests.
//
// Every step runs even when an earlier one failed, so that one run shows all there is to mend. A step that passes is
// one line; one that fails prints what its tool said and how to mend it. `npm run check -- lint types` runs these two.
import { spawnSync } from "node:child_process";
import { delimiter, join } from "node:path";

interface Step {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
  /** What to do when it fails. */
  readonly mend: string;
}

interface Outcome {
  readonly step: Step;
  readonly passed: boolean;
  readonly seconds: number;
}

const root = join(import.meta.dirname, "..");

const steps: readonly Step[] = [
  { name: "format", command: ["oxfmt", "--check", "."], mend: "npm run format" },
  {
    name: "lint",
    // Type-aware by `options.typeAware` of .oxlintrc.json (oxlint-tsgolint does that part).
    command: ["oxlint"],
    mend: "see the rule's help above; `oxlint --fix` mends the simple ones",
  },
  { name: "types", command: ["tsc", "--noEmit", "-p", "tsconfig.json"], mend: "see the lines above" },
  {
    name: "unused",
    command: ["knip", "--no-progress"],
    mend: "delete what nobody uses; an entry point that knip cannot see belongs into knip.json",
  },
  {
    name: "generated",
    command: [process.execPath, "scripts/generate.ts", "--check"],
    mend: "node scripts/generate.ts, and commit what it writes",
  },
  {
    name: "allocation",
    command: [process.execPath, "bench/allocation.ts"],
    mend: "the request path allocates more than its budget: see docs/performance.md for how to find where",
  },
];

process.exitCode = main(process.argv.slice(2));

function main(names: readonly string[]): number {
  const unknown = names.filter((name) => !steps.some((step) => step.name === name));
  if (unknown.length > 0) {
    console.error(`check: no step ${unknown.join(", ")}; the steps are ${steps.map((step) => step.name).join(", ")}`);
    return 2;
  }
  const wanted = steps.filter((step) => names.length === 0 || names.includes(step.name));
  const outcomes = wanted.map(run);
  const failed = outcomes.filter((outcome) => !outcome.passed);
  const seconds = outcomes.reduce((sum, outcome) => sum + outcome.seconds, 0);
  console.log(
    `\ncheck: ${outcomes.length - failed.length} of ${outcomes.length} steps passed in ${seconds.toFixed(1)} s`,
  );
  for (const { step } of failed) console.log(`  failed: ${step.name} -> ${step.mend}`);
  return failed.length === 0 ? 0 : 1;
}

function run(step: Step): Outcome {
  const [program, ...args] = step.command;
  const started = performance.now();
  const child = spawnSync(program, args, {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
    // The locked tools, whatever else the machine has under these names; their output is shown indented, so plain.
    env: {
      ...process.env,
      NO_COLOR: "1",
      PATH: join(root, "node_modules", ".bin") + delimiter + (process.env["PATH"] ?? ""),
    },
    shell: process.platform === "win32",
  });
  const seconds = (performance.now() - started) / 1000;
  const passed = child.status === 0;
  console.log(`${passed ? "ok    " : "FAILED"}  ${step.name.padEnd(12)} ${seconds.toFixed(1).padStart(5)} s`);
  if (!passed) {
    const said = [child.stdout, child.stderr, child.error?.message ?? ""].join("").trim();
    const how = child.signal === null ? `exit code ${child.status}` : `signal ${child.signal}`;
    console.log(indent(said === "" ? `${step.command.join(" ")} said nothing: ${how}` : said));
  }
  return { step, passed, seconds };
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "    ");
}
