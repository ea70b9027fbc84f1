// The programs of others that the bench needs. What is missing is said, with the command that gets it: nothing is skipped.

import { execFileSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";

/** A program, and the Debian package that has it. */
export interface Tool {
  readonly program: string;
  readonly debianPackage: string;
}

export const tools = {
  haproxy: { program: "haproxy", debianPackage: "haproxy" },
  nginx: { program: "nginx", debianPackage: "nginx-light" },
  h2load: { program: "h2load", debianPackage: "nghttp2-client" },
  nghttpx: { program: "nghttpx", debianPackage: "nghttp2-proxy" },
  wrk: { program: "wrk", debianPackage: "wrk" },
  taskset: { program: "taskset", debianPackage: "util-linux" },
} as const satisfies Record<string, Tool>;

// Servers are often outside of an ordinary user's PATH.
const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/usr/local/sbin", "/sbin"];

/** The path of a program, or `undefined` when the machine does not have it. */
function findTool(tool: Tool): string | undefined {
  for (const folder of folders) {
    const path = join(folder, tool.program);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // Not in this folder.
    }
  }
  return undefined;
}

/** The path of a program that is known to be there: `missingTools` was asked first. */
export function toolPath(tool: Tool): string {
  return findTool(tool) ?? tool.program;
}

/** Why the bench cannot run here, or `undefined` when it can. */
export function missingTools(needed: readonly Tool[]): string | undefined {
  const missing = [...new Set(needed)].filter((tool) => findTool(tool) === undefined);
  if (missing.length === 0) return undefined;
  const programs = missing.map((tool) => tool.program).join(", ");
  const packages = missing.map((tool) => tool.debianPackage).join(" ");
  return `missing: ${programs}. On Debian and Ubuntu: apt-get install ${packages}. Or leave something out with --only or --peers.`;
}

/** The first line that a program prints about itself, on whichever stream and with whichever exit code. */
export function firstLine(program: string, flag: string): string {
  // wrk -v exits with 1 and nginx -v writes to stderr.
  const output = execFileSync("sh", ["-c", '"$1" "$2" 2>&1 || true', "sh", program, flag], { encoding: "utf8" });
  return output.split("\n")[0]?.trim() ?? "";
}
