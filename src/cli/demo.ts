import { runDemo } from "../demo/run-demo.ts";
import type { ExitCode } from "./command.ts";

/** `sidelane demo [--once]` */
export async function demo(once: boolean): Promise<ExitCode> {
  return (await runDemo({ once })) === 0 ? 0 : 1;
}
