// The program as a person runs it: command lines that end, and roles that go on.
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export const mainFile: string = join(import.meta.dirname, "..", "..", "src", "main.ts");

/** What came of a command line. */
export interface CommandOutcome {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one; words are separated by spaces, and nothing is quoted. */
export function runCommand(line: string, env: object = {}, stdin = ""): Promise<CommandOutcome> {
  const argv = line.split(" ").filter((word) => word !== "");
  return new Promise((resolve) => {
    const child = execFile(
      process.execPath,
      [mainFile, ...argv],
      { env: { ...process.env, NO_COLOR: "1", ...env } },
      (error, out, err) => resolve({ code: typeof error?.code === "number" ? error.code : 0, out, err }),
    );
    // One that reads nothing may be gone before it is all written.
    child.stdin?.on("error", () => {}).end(stdin);
  });
}

/** Starts `sidelane proxy` or `sidelane control`; resolves with the addresses that it has bound. `ended` learns how to end it. */
export async function startRole(
  argv: readonly string[],
  ended: (() => unknown)[],
  env: object = {},
): Promise<Readonly<Record<string, string>>> {
  const child = fork(mainFile, argv, {
    execArgv: [],
    stdio: ["ignore", "ignore", "pipe", "ipc"],
    env: { ...process.env, ...env },
  });
  let log = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (log += text));
  const exit = once(child, "exit");
  ended.push(async () => {
    child.kill("SIGKILL");
    await exit;
  });
  const failed = exit.then(() => Promise.reject(new Error(`${argv.join(" ")} ended: ${log}`)));
  failed.catch(() => {});
  const [{ listeners }] = (await Promise.race([once(child, "message"), failed])) as [
    { readonly listeners: Readonly<Record<string, string>> },
  ];
  return listeners;
}
