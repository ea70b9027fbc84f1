// What .ci/run reads of the JSON reports that Vitest writes:
//
//   node scripts/test-report.ts again FIRST                 the files that may run a second time, one a line
//   node scripts/test-report.ts counts FIRST [SECOND...]    `PASSED FAILED`, then the files that passed only the second time
//
// A file that failed may run again, once and alone: shared cores delay timers, and what fails beside other work and passes by
// itself says more about the machine than about the code. It counts as passed and is named, never hidden. There is no second
// chance when many files failed, since that has a cause, nor for a counterexample that fast-check found: it is a fault,
// whether or not the next seed finds it.
import { readFileSync, realpathSync } from "node:fs";

/** A report, as far as it matters here. */
export interface TestReport {
  readonly testResults: readonly TestFile[];
}

/** One file of tests, named by its path. */
export interface TestFile {
  readonly name: string;
  readonly status: string;
  /** Why it could not be loaded. */
  readonly message?: string;
  readonly assertionResults: readonly {
    readonly fullName: string;
    readonly status: string;
    readonly failureMessages?: readonly string[];
  }[];
}

const filesMax = 5;
const counterexample = /Property failed after/u;

/** The files of a report that may run again. */
export function filesToRunAgain({ testResults }: TestReport): readonly string[] {
  const failed = testResults.filter(hasFailed);
  if (failed.length > filesMax) return [];
  return failed.filter((file) => !messagesOf(file).some((text) => counterexample.test(text))).map(({ name }) => name);
}

/** The sums over a first report and those of single files that ran again; `mended` are those that passed only then. */
export function countTests(
  first: TestReport,
  seconds: readonly TestReport[] = [],
): { readonly passed: number; readonly failed: number; readonly mended: readonly string[] } {
  const again = new Map(seconds.flatMap((report) => report.testResults.map((file) => [file.name, file] as const)));
  const allowed = new Set(filesToRunAgain(first));
  const mended: string[] = [];
  let passed = 0;
  let failed = 0;
  for (const file of first.testResults) {
    const second = allowed.has(file.name) ? again.get(file.name) : undefined;
    const judged = second !== undefined && makesGood(file, second) ? second : file;
    if (judged !== file) mended.push(file.name);
    const good = judged.assertionResults.filter(({ status }) => status === "passed").length;
    const bad = judged.assertionResults.length - good;
    passed += good;
    // A file that cannot even be loaded has no test that could fail, so it counts as one failure itself.
    failed += bad === 0 && hasFailed(judged) ? 1 : bad;
  }
  return { passed, failed, mended };
}

/** Nothing failed the second time, and everything that ran the first time ran again. */
function makesGood(first: TestFile, second: TestFile): boolean {
  const results = second.assertionResults;
  if (hasFailed(second) || results.length === 0 || results.some(({ status }) => status !== "passed")) return false;
  const names = new Set(results.map(({ fullName }) => fullName));
  return first.assertionResults.every(({ fullName }) => names.has(fullName));
}

function hasFailed({ status, assertionResults }: TestFile): boolean {
  return status === "failed" || assertionResults.some((result) => result.status === "failed");
}

function messagesOf({ message = "", assertionResults }: TestFile): readonly string[] {
  return [message, ...assertionResults.flatMap(({ failureMessages = [] }) => failureMessages)];
}

/** A second run that wrote nothing makes nothing good; without the first there is nothing to say. */
function readReport(path: string, index: number): TestReport {
  try {
    return JSON.parse(readFileSync(path, "utf8")) as TestReport;
  } catch (error) {
    if (index === 0) throw error;
    return { testResults: [] };
  }
}

function main(command: string | undefined, paths: readonly string[]): void {
  const [first = { testResults: [] }, ...seconds] = paths.map(readReport);
  if (command === "again") {
    for (const file of filesToRunAgain(first)) console.log(file);
    return;
  }
  const { passed, failed, mended } = countTests(first, seconds);
  console.log([`${passed} ${failed}`, ...mended].join("\n"));
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === import.meta.filename) {
  main(process.argv[2], process.argv.slice(3));
}
