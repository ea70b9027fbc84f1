import { fileURLToPath } from "node:url";

/** The absolute path of a file of the project, whatever the working directory. */
export function projectFile(path: string): string {
  return fileURLToPath(new URL(`../${path}`, import.meta.url));
}
