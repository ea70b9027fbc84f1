import { RefusedError } from "../base/refused-error.ts";
import { CommanderError } from "commander";
import { MisuseError } from "./command.ts";
import type { ExitCode } from "./command.ts";
import { commands } from "./commands.ts";
import { packageVersion } from "./package-version.ts";
import { buildProgram } from "./program.ts";

/** Columns of help where the terminal does not say: pipes, and the golden files. */
const COLUMNS = 100;

/** Runs one command line (without `node` and the script); resolves with the exit code and never rejects for a user's error. */
export async function run(argv: readonly string[]): Promise<ExitCode> {
  let code: ExitCode = 0;
  const output = {
    out: (text: string) => void process.stdout.write(text),
    err: (text: string) => void process.stderr.write(text),
    columns: process.stdout.columns ?? COLUMNS,
  };
  const program = buildProgram(commands, packageVersion(), output, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!(error instanceof MisuseError) && !(error instanceof RefusedError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error instanceof MisuseError ? 2 : 1;
  }
}
