import { spawnSync } from "node:child_process";
import { expect, test } from "vitest";
import { ProcessLog, type ProcessLogOptions } from "./process-log.ts";

/** A log and the lines it wrote. */
function captured(options: ProcessLogOptions = {}): { log: ProcessLog; lines: string[] } {
  const lines: string[] = [];
  return { log: new ProcessLog({ ...options, destination: { write: (line) => lines.push(line) } }), lines };
}

const parsed = (lines: string[]): Record<string, unknown>[] =>
  lines.map((line) => JSON.parse(line) as Record<string, unknown>);

test("one JSON object per line: level, timestamp, fields, message", () => {
  const { log, lines } = captured({ fields: { service: "checkout" } });
  log.info("table published", { version: 3, digest: "ab12", first: true, path: undefined });
  expect(lines[0]).toMatch(
    /^\{"level":"info","timestamp":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z","service":"checkout","version":3,"digest":"ab12","first":true,"message":"table published"\}\n$/,
  );
});

test("levels below the one set are left out, and it can be changed", () => {
  const { log, lines } = captured({ level: "warn" });
  const all = (): void => {
    log.debug("debug");
    log.info("info");
    log.warn("warn");
    log.error("error");
  };
  all();
  expect(log.level).toBe("warn");
  log.level = "debug";
  all();
  log.level = "silent";
  all();
  expect(parsed(lines).map(({ level }) => level)).toEqual(["warn", "error", "debug", "info", "warn", "error"]);
  expect(parsed(lines).every(({ level, message }) => level === message)).toBe(true);
});

test("text from outside cannot end a line or steer a terminal", () => {
  const { log, lines } = captured();
  const hostile = 'a\n{"level":"error"}\u001b[2J\u009b2J\u2028"';
  log.warn(hostile, { file: hostile });
  expect(lines.length).toBe(1);
  expect(lines[0]?.slice(0, -1)).not.toMatch(/[\p{Cc}\u2028\u2029]/u);
  expect(parsed(lines)).toMatchObject([{ message: hostile, file: hostile }]);
});

test("goes to standard error, and the last words before an exit are there", () => {
  const source = new URL("./process-log.ts", import.meta.url).href;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    [
      "--input-type=module",
      "--eval",
      `import { ProcessLog } from ${JSON.stringify(source)}; new ProcessLog().error("out of luck"); process.exit(1);`,
    ],
    { encoding: "utf8" },
  );
  expect(stdout).toBe("");
  expect(JSON.parse(stderr)).toMatchObject({ level: "error", message: "out of luck" });
});
