import { globSync, readFileSync } from "node:fs";
import { join, sep } from "node:path";

/** The folder that holds package.json. */
export const projectRoot = join(import.meta.dirname, "..", "..");

// Never descended into: what others wrote, and what running something leaves behind.
const foreign = ["**/node_modules", "**/dist", "**/coverage", "bench/results"];

/** Files of ours below `folder` (relative to the project) that end in `ending`, as `src/base/clock.ts`, sorted. */
export function projectFiles(folder: string, ending: string): string[] {
  return globSync(`${folder}/**/*${ending}`, { cwd: projectRoot, exclude: foreign })
    .map((file) => file.split(sep).join("/"))
    .toSorted();
}

/** The text of a project file. */
export function readProjectFile(file: string): string {
  return readFileSync(join(projectRoot, file), "utf8");
}

/** All TypeScript of ours: product, tests, benchmarks, scripts. */
export function typeScriptFiles(): string[] {
  return ["src", "test", "bench", "scripts"].flatMap((folder) => projectFiles(folder, ".ts"));
}
