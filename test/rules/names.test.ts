import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { declaredNames } from "./declarations.ts";
import { nameProblems } from "./names.ts";
import { projectFiles, projectRoot, readProjectFile } from "./project.ts";

const pages = projectFiles(".", ".md");
const project = { exists: (path: string) => existsSync(join(projectRoot, path)), read: readProjectFile };

describe("the pages", () => {
  test.each(pages)("%s names files and functions that exist", (page) => {
    expect(nameProblems(page, readProjectFile(page), project)).toEqual([]);
  });
});

describe("the rule", () => {
  const source = `
    export function startTicking() {}
    export const coarse = { nowMs: 0, "odd-name": 1 } as const;
    const [first] = [1];
    interface Seam { onHead(): void; readonly reason: string }
    export class Relay { #state = 0; static open() {} onHead() { function inner() {} } get size() { return 1; } }
    type Verdict = "yes";
    abstract class Base { abstract read(): void }
  `;
  const made = { exists: (path: string) => path === "src/base/clock.ts", read: () => source };
  const problemsOf = (markdown: string): string[] => nameProblems("docs/x.md", markdown, made);

  test.each([
    "`src/base/clock.ts`",
    "`src/base/clock.ts:startTicking`",
    "`src/base/clock.ts:startTicking()`",
    "`src/base/clock.ts:Relay.onHead`",
    "`src/base/clock.ts:onHead`",
    "`src/base/clock.ts:Verdict`",
    "`clock.ts`, `text/plain` and `10.0.0.7:8080` are no paths of the project",
    "```\n`src/gone.ts` in a fence\n```",
    "`src/*/gone.ts` and `docs/decisions/NNNN-title.md`",
  ])("lets pass %s", (markdown) => {
    expect(problemsOf(markdown)).toEqual([]);
  });

  test.each([
    ["`src/base/gone.ts`", "docs/x.md:1: src/base/gone.ts does not exist"],
    ["\n\nsee `src/gone.ts:f`", "docs/x.md:3: src/gone.ts does not exist"],
    ["`src/base/clock.ts:inner`", "docs/x.md:1: src/base/clock.ts declares no inner"],
    ["`src/base/clock.ts:stopTicking`", "docs/x.md:1: src/base/clock.ts declares no stopTicking"],
    ["`src/base/clock.ts:42`", expect.stringContaining("name the function")],
  ])("refuses %s", (markdown, problem) => {
    expect(problemsOf(markdown)).toEqual([problem]);
  });

  test("knows what a source declares", () => {
    const names = declaredNames(source);
    const expected = ["coarse", "nowMs", "coarse.nowMs", "odd-name", "Seam.onHead", "Relay", "state", "open", "size"];
    expect([...names]).toEqual(expect.arrayContaining([...expected, "Verdict", "Base.read"]));
    expect(names.has("inner")).toBe(false);
  });
});
