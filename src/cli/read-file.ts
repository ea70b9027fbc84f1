import { RefusedError } from "../base/refused-error.ts";
import { readFileSync } from "node:fs";

const causes: Readonly<Record<string, string>> = {
  ENOENT: "no such file, check the path",
  EISDIR: "this is a directory, name a file in it",
  EACCES: "no permission to read it, check its mode and owner",
};

/** The file's bytes; a `RefusedError` that says why when it cannot be read. */
export function readFile(file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new RefusedError(`${file}: cannot be read, ${causes[code] ?? code}`);
  }
}
