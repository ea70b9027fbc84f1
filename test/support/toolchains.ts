// Compilers and interpreters of other languages, found where their own installers put them: these places are often missing
// from the path of whatever is not a person's shell.
import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Go from the path, or from where https://go.dev/dl and its packages put it. */
const goPlaces = ["go", "/usr/local/go/bin/go", join(homedir(), "sdk", "go", "bin", "go"), "/usr/lib/go/bin/go"];

/** Go in at least the version 1.`minor`; rejects with a sentence that says how to get it, for the tests named `what`. */
export async function findGo(minor: number, what: string): Promise<string> {
  const found: string[] = [];
  for (const program of goPlaces) {
    const said = await outputOf(program, ["env", "GOVERSION"]);
    const version = /^go1\.(\d+)/u.exec(said ?? "");
    if (version === null) continue;
    if (Number(version[1]) >= minor) return program;
    found.push(version[0]);
  }
  const trouble = found.length === 0 ? "Go is missing" : `Go is too old: ${found.join(", ")}`;
  // Debian 12 has Go 1.19, which can build what asks for little.
  const ways = minor > 19 ? "https://go.dev/dl" : "`apt-get install golang-go`, or https://go.dev/dl";
  throw new Error(`${trouble}. Version 1.${minor} or newer builds ${what}: install it (${ways})`);
}

/** Python 2.7 with pip, from the path or kept by pyenv; rejects with a sentence that says how to get it. */
export async function findPython2(what: string): Promise<string> {
  const versions = join(process.env["PYENV_ROOT"] ?? join(homedir(), ".pyenv"), "versions");
  const kept = await readdir(versions).catch(() => []);
  const candidates = kept.filter((name) => name.startsWith("2.7")).map((name) => join(versions, name, "bin/python2.7"));
  for (const python of ["python2.7", ...candidates]) {
    if ((await outputOf(python, ["-m", "pip", "--version"])) !== undefined) return python;
  }
  throw new Error(
    `Python 2.7 with pip is missing. ${what} runs on no newer one, and Debian has it no more: install it (\`pyenv install 2.7.18\`)`,
  );
}

/** What a program prints; undefined when it is not there or does not work. */
function outputOf(program: string, options: readonly string[]): Promise<string | undefined> {
  return run(program, options).then(
    ({ stdout }) => stdout,
    () => undefined,
  );
}
