import { rmSync } from "node:fs";

/**
 * Ends this process when the demo says so or is gone, and not before: the terminal sends Ctrl-C to every process of the demo,
 * and the parent decides when a child ends. `directory` is the demo's, removed when nobody else is left to do it.
 */
export function endWithParent(directory: string | undefined): void {
  const orphaned = (): never => {
    if (directory !== undefined) rmSync(directory, { recursive: true, force: true });
    process.exit(0);
  };
  process.on("SIGINT", () => {});
  process.on("disconnect", orphaned);
  if (!process.connected) orphaned(); // it went before this line ran
}
