import { declaredNames } from "./declarations.ts";
import { codeSpans } from "./markdown.ts";

/** How the project's files can be looked up; made-up ones in the tests of the rule. */
export interface Lookup {
  exists(path: string): boolean;
  read(path: string): string;
}

const folders = "src|test|bench|scripts|docs|deploy|schema|\\.ci";
const path = new RegExp(`^((?:${folders})/[\\w./-]+)(?::([#\\w.]+)(?:\\(\\))?)?$`);

/**
 * What is wrong with the code names of a page: `src/base/clock.ts` and `src/base/` have to exist, and
 * `src/base/clock.ts:startTicking` has to be declared there. A path with a placeholder (`*`, `<name>`, `NNNN`) is not checked.
 */
export function nameProblems(page: string, markdown: string, project: Lookup): string[] {
  return codeSpans(markdown).flatMap(({ line, text }) => {
    const [, file, name] = path.exec(text) ?? [];
    if (file === undefined || file.includes("NNNN")) return [];
    if (isPathOfRun(file)) return [];
    if (!project.exists(file)) return [`${page}:${line}: ${file} does not exist`];
    if (name === undefined || /^\d+$/.test(name))
      return name === undefined ? [] : [lineNumberProblem(page, line, text)];
    if (declaredNames(project.read(file)).has(name.replace(/^#/, ""))) return [];
    return [`${page}:${line}: ${file} declares no ${name}`];
  });
}

/** Written by running something, so absent from a clean checkout. */
function isPathOfRun(file: string): boolean {
  return file.startsWith("bench/results/");
}

function lineNumberProblem(page: string, line: number, text: string): string {
  return `${page}:${line}: ${text} names a line, which the next edit moves; name the function`;
}
