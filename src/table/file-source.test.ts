// Long because every way in which a file can change shares one harness: a real directory, followed, its events awaited.

import { chmod, mkdir, mkdtemp, open, rename, rm, symlink, unlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Log, LogFields } from "../base/log.ts";
import { TableCell } from "../routing/table-cell.ts";
import type { TableReloadResult } from "../telemetry/metrics.ts";
import { TableFileError, TableFileSource } from "./file-source.ts";
import type { TableFileDeps, TableFileOptions } from "./file-source.ts";
import { loadBytes } from "./load-bytes.ts";
import { watchDirectory } from "./watch-file.ts";

let directory = "";
let file = "";
const closers: (() => Promise<void>)[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sidelane-table-"));
  file = join(directory, "routes.yaml");
});

afterEach(async () => {
  for (const close of closers.splice(0)) await close();
  await rm(directory, { recursive: true });
});

/** A table whose only sandbox is `name`. */
const tableOf = (name: string): string => `sandboxes:\n  ${name}:\n    services:\n      checkout: ["10.0.0.7:8080"]\n`;
const bigTable = (count: number): string =>
  `sandboxes:\n${Array.from({ length: count }, (_, n) => `  pr-${n}:\n    services: { checkout: ["10.0.0.7:8080"] }\n`).join("")}`;
/** One problem, on line 2. */
const BAD = "services: {}\nnonsense: 1\n";

/** Follows `file` and hands out what `onReload` tells, one at a time, so that tests wait for events and not for time. */
function follow(options: Partial<TableFileOptions> = {}, deps: Partial<TableFileDeps> = {}) {
  const cell = new TableCell();
  const told: TableReloadResult[] = [];
  const waiting: ((result: TableReloadResult) => void)[] = [];
  const logged: string[] = [];
  const fieldsLogged: (LogFields | undefined)[] = [];
  const write = (level: string) => (message: string, fields?: LogFields) => {
    logged.push(`${level}: ${message}`);
    fieldsLogged.push(fields);
  };
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  const onReload = (result: TableReloadResult): void => {
    const next = waiting.shift();
    if (next === undefined) told.push(result);
    else next(result);
  };
  // A test's own loader serves what comes after the first table.
  const { loadOffLoop: ownLoader, ...others } = deps;
  let loads = 0;
  const loader: Partial<TableFileDeps> =
    ownLoader === undefined
      ? {}
      : {
          loadOffLoop: (job, signal) => (loads++ === 0 ? Promise.resolve(loadBytes(job)) : ownLoader(job, signal)),
        };
  const source = new TableFileSource(
    // By default far beyond the test's time: what is seen was seen by an event.
    { file, pollMs: 600_000, bytesMax: 1024 * 1024, ...options },
    { cell, log, onReload, ...others, ...loader },
  );
  closers.push(() => source.close());
  const next = (): Promise<TableReloadResult> => {
    const result = told.shift();
    return result === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(result);
  };
  /** For writes in place, which a slow machine may show half done first. */
  const until = async (result: TableReloadResult): Promise<void> => {
    while ((await next()) !== result);
  };
  const sandbox = (name: string): boolean => cell.current.findTarget(Buffer.from(name), 0, name.length) !== -1;
  return { cell, source, next, until, told, logged, fieldsLogged, sandbox };
}

async function following(options: Partial<TableFileOptions> = {}, deps: Partial<TableFileDeps> = {}) {
  const followed = follow(options, deps);
  await followed.source.start();
  expect(await followed.next()).toBe("applied");
  return followed;
}

/** What editors and `kubectl cp` do: write beside, rename over. */
async function replaceWith(content: string): Promise<void> {
  await writeFile(`${file}.tmp`, content);
  await rename(`${file}.tmp`, file);
}

describe("start", () => {
  test("publishes the first table as version 1", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { source, cell, sandbox, logged } = await following();
    expect(cell.current.version).toBe(1);
    expect(sandbox("pr-1")).toBe(true);
    expect(source.status()).toMatchObject({
      version: 1,
      digest: cell.current.digest,
      source: file,
      lastError: undefined,
      warnings: [],
      counts: { services: 1, sandboxes: 1, groups: 0, endpoints: 1 },
    });
    expect(source.status().loadedAtMs).toBeLessThanOrEqual(Date.now());
    expect(logged).toEqual(["info: table in use"]);
  });

  test("rejects with every problem of a bad table, and follows nothing afterwards", async () => {
    await writeFile(file, "sandboxes:\n  pr-1:\n    service: {}\nservice: {}\n");
    const { source, cell } = follow();
    const error: unknown = await source.start().catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(TableFileError);
    const { message, tableError } = error as TableFileError;
    expect(tableError.kind).toBe("invalid");
    expect(message.split("\n").length).toBe(tableError.problems.length);
    expect(tableError.problems.length).toBeGreaterThan(1);
    for (const line of tableError.problems) expect(line).toMatch(/routes\.yaml:\d+:\d+: /);
    expect(cell.current.version).toBe(0);
  });

  test("rejects when the file is missing, a directory, or too large", async () => {
    await expect(follow().source.start()).rejects.toThrow(/routes\.yaml does not exist/);
    await expect(follow({ file: directory }).source.start()).rejects.toThrow(/is a directory, not a file/);
    await writeFile(file, tableOf("pr-1"));
    const { source } = follow({ bytesMax: 20 });
    await expect(source.start()).rejects.toThrow(/has \d+ bytes, more than limits\.tableBytesMax \(20\)/);
  });

  test("close while the first load is under way ends it", async () => {
    await writeFile(file, bigTable(2000));
    const { source, cell } = follow();
    const started = source.start();
    await source.close();
    await started;
    expect(cell.current.version).toBe(0);
  });
});

describe("a change is followed", () => {
  test("an editor's rename over the file", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, sandbox, cell } = await following();
    for (const [index, name] of ["pr-2", "pr-3", "pr-4"].entries()) {
      await replaceWith(tableOf(name));
      expect(await next()).toBe("applied");
      expect(sandbox(name)).toBe(true);
      expect(cell.current.version).toBe(index + 2);
    }
    expect(sandbox("pr-1")).toBe(false);
  });

  test("a write in place", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { until, sandbox } = await following();
    await writeFile(file, tableOf("pr-2"));
    await until("applied");
    expect(sandbox("pr-2")).toBe(true);
  });

  test("a ConfigMap's swap of the ..data link, as the kubelet does it", async () => {
    const version = async (name: string, content: string): Promise<void> => {
      await mkdir(join(directory, name));
      await writeFile(join(directory, name, "routes.yaml"), content);
      await symlink(name, join(directory, "..data_tmp"));
      await rename(join(directory, "..data_tmp"), join(directory, "..data"));
    };
    await version("..2026_11_23_10_00", tableOf("pr-1"));
    await symlink(join("..data", "routes.yaml"), file);
    const { next, sandbox } = await following();
    for (const minute of ["01", "02", "03"]) {
      await version(`..2026_11_23_10_${minute}`, tableOf(`pr-${minute}`));
      expect(await next()).toBe("applied");
      expect(sandbox(`pr-${minute}`)).toBe(true);
      // The kubelet removes the version before.
      const before = `..2026_11_23_10_0${Number(minute) - 1}`;
      await rm(join(directory, before), { recursive: true });
    }
  });

  test("a symbolic link that is pointed to another directory further up", async () => {
    await mkdir(join(directory, "blue"));
    await mkdir(join(directory, "green"));
    await writeFile(join(directory, "blue", "routes.yaml"), tableOf("blue"));
    await writeFile(join(directory, "green", "routes.yaml"), tableOf("green"));
    await symlink("blue", join(directory, "live"));
    const { next, until, sandbox } = await following({ file: join(directory, "live", "routes.yaml") });
    await symlink("green", join(directory, "next"));
    await rename(join(directory, "next"), join(directory, "live"));
    expect(await next()).toBe("applied");
    expect(sandbox("green")).toBe(true);
    // The new place is watched now, too.
    await writeFile(join(directory, "green", "routes.yaml"), tableOf("greener"));
    await until("applied");
    expect(sandbox("greener")).toBe(true);
  });

  test("by polling alone, when no event ever comes", async () => {
    await writeFile(file, tableOf("pr-1"));
    // A watch on a directory where nothing happens.
    const quiet = await mkdtemp(join(tmpdir(), "sidelane-quiet-"));
    closers.push(() => rm(quiet, { recursive: true }));
    const { next, sandbox } = await following(
      { pollMs: 20 },
      { watchDirectory: (_, onEvent) => watchDirectory(quiet, onEvent) },
    );
    await replaceWith(tableOf("pr-2"));
    expect(await next()).toBe("applied");
    expect(sandbox("pr-2")).toBe(true);
  });

  test("when directories cannot be watched, saying so once", async () => {
    await writeFile(file, tableOf("pr-1"));
    const refuse = (): never => {
      throw Object.assign(new Error("no more watches"), { code: "ENOSPC" });
    };
    const { next, sandbox, logged } = await following({ pollMs: 20 }, { watchDirectory: refuse });
    await replaceWith(tableOf("pr-2"));
    expect(await next()).toBe("applied");
    expect(sandbox("pr-2")).toBe(true);
    expect(logged.filter((line) => line.startsWith("warn: cannot watch"))).toHaveLength(1);
  });

  test("a large file, through a process of its own", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, sandbox, cell } = await following();
    await replaceWith(bigTable(2000));
    expect(await next()).toBe("applied");
    expect(sandbox("pr-1999")).toBe(true);
    expect(cell.current.counts.sandboxes).toBe(2000);
  });

  test("the latest content wins when several changes come during one load", async () => {
    await writeFile(file, tableOf("pr-1"));
    const loads: (() => void)[] = [];
    let begun = (): void => {};
    const firstLoad = new Promise<void>((resolve) => (begun = resolve));
    const { next, sandbox, cell } = await following(
      {},
      {
        loadOffLoop: (job) =>
          new Promise((resolve) => {
            loads.push(() => resolve(loadBytes(job)));
            begun();
            if (loads.length > 1) loads[1]?.();
          }),
      },
    );
    await replaceWith(bigTable(1000));
    await firstLoad;
    await replaceWith(`${bigTable(1000)}# second\n`);
    await replaceWith(bigTable(1001));
    loads[0]?.();
    expect(await next()).toBe("applied");
    expect(await next()).toBe("applied");
    expect(sandbox("pr-1000")).toBe(true);
    expect(loads).toHaveLength(2);
    expect(cell.current.version).toBe(3);
  });
});

describe("the last good table stays", () => {
  test("when a bad one comes, until a good one does", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, sandbox, source, logged } = await following();
    await replaceWith(BAD);
    expect(await next()).toBe("rejected");
    expect(sandbox("pr-1")).toBe(true);
    expect(source.status()).toMatchObject({ version: 1, lastError: { kind: "invalid" } });
    expect(source.status().lastError?.problems[0]).toMatch(/routes\.yaml:2:1: /);
    expect(logged.at(-1)).toMatch(
      /^error: table not loaded, table 1 \([0-9a-f]{12}\) stays in use: .*routes\.yaml:2:1: /,
    );
    await replaceWith(tableOf("pr-2"));
    expect(await next()).toBe("applied");
    expect(source.status().lastError).toBeUndefined();
    expect(sandbox("pr-2")).toBe(true);
  });

  test("when a large bad one comes through the loading process", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, sandbox, source } = await following();
    await replaceWith(`${bigTable(2000)}nonsense: 1\n`);
    expect(await next()).toBe("rejected");
    expect(sandbox("pr-1")).toBe(true);
    expect(source.status().lastError?.message).toMatch(/routes\.yaml:4002:1: .*nonsense/);
  });

  test("while a file is written in pieces", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { until, sandbox } = await following();
    // The first piece stands still for long enough to be read, but does not parse.
    await writeFile(file, "sandboxes:\n  pr-2:\n    services: { checkout: [");
    await until("rejected");
    expect(sandbox("pr-1")).toBe(true);
    const handle = await open(file, "a");
    await handle.write('"10.0.0.7:8080"] }\n');
    await handle.close();
    await until("applied");
    expect(sandbox("pr-2")).toBe(true);
  });

  // The pause is what is tested: each half stands still for longer than a renamed file has to.
  test.each([
    ["over the file that is there", false],
    ["where no file is", true],
  ])("while a table is written in place in two pieces, the first a table itself: %s", async (_, deleted) => {
    await writeFile(file, tableOf("pr-1"));
    const { next, told, sandbox, cell } = await following();
    if (deleted) {
      await unlink(file);
      expect(await next()).toBe("unreadable");
    }
    const handle = await open(file, "w");
    await handle.write(tableOf("pr-2"));
    await delay(200);
    await handle.write('  pr-3:\n    services: { checkout: ["10.0.0.8:8080"] }\n');
    await handle.close();
    expect(await next()).toBe("applied");
    expect([sandbox("pr-2"), sandbox("pr-3")]).toEqual([true, true]);
    expect(cell.current.version).toBe(2);
    expect(told).toEqual([]);
  });

  test("and each of several problems is one line of the log, with the source", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, logged, fieldsLogged, source } = await following();
    await replaceWith("services: {}\nfoo: 1\nbar: 2\nbaz: 3\n");
    expect(await next()).toBe("rejected");
    const problems = source.status().lastError?.problems ?? [];
    expect(problems).toHaveLength(3);
    expect(logged).toHaveLength(4);
    expect(logged[1]).toContain(`${problems[0]} (and 2 more)`);
    expect(logged.slice(2)).toEqual(problems.slice(1).map((line) => `error: ${line}`));
    for (const fields of fieldsLogged) expect(fields).toMatchObject({ source: file });
  });

  test("while a file is emptied before it is written", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { until, sandbox } = await following();
    await writeFile(file, "");
    await until("rejected");
    expect(sandbox("pr-1")).toBe(true);
  });

  test("when the file is deleted, and it is picked up when it comes back", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, until, sandbox, source } = await following();
    await unlink(file);
    expect(await next()).toBe("unreadable");
    expect(sandbox("pr-1")).toBe(true);
    expect(source.status().lastError?.kind).toBe("missing");
    await writeFile(file, tableOf("pr-1"));
    await until("unchanged");
    expect(source.status()).toMatchObject({ version: 1, lastError: undefined });
    await unlink(file);
    expect(await next()).toBe("unreadable");
    await writeFile(file, tableOf("pr-2"));
    await until("applied");
    expect(sandbox("pr-2")).toBe(true);
  });

  test("when the whole directory is deleted and made again", async () => {
    const inner = join(directory, "conf");
    file = join(inner, "routes.yaml");
    await mkdir(inner);
    await writeFile(file, tableOf("pr-1"));
    const { next, until, sandbox } = await following();
    for (const name of ["pr-2", "pr-3"]) {
      await rm(inner, { recursive: true });
      expect(await next()).toBe("unreadable");
      await mkdir(inner);
      await writeFile(file, tableOf(name));
      await until("applied");
      expect(sandbox(name)).toBe(true);
    }
  });

  test("when the directory is replaced by another one", async () => {
    const inner = join(directory, "conf");
    file = join(inner, "routes.yaml");
    await mkdir(inner);
    await writeFile(file, tableOf("pr-1"));
    const { until, sandbox } = await following();
    await mkdir(join(directory, "next"));
    await writeFile(join(directory, "next", "routes.yaml"), tableOf("pr-2"));
    await rename(inner, join(directory, "old"));
    await rename(join(directory, "next"), inner);
    await until("applied");
    expect(sandbox("pr-2")).toBe(true);
    await writeFile(file, tableOf("pr-3"));
    await until("applied");
  });

  test("when the file grows beyond the limit", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, sandbox, source } = await following({ bytesMax: 1024 });
    await replaceWith(bigTable(100));
    expect(await next()).toBe("rejected");
    expect(source.status().lastError?.kind).toBe("too-large");
    expect(sandbox("pr-1")).toBe(true);
  });

  test("when the file may not be read any more", async () => {
    // Root may read everything: be nobody meanwhile.
    const root = process.getuid?.() === 0;
    if (root) process.seteuid?.(65534);
    const own = await mkdtemp(join(tmpdir(), "sidelane-table-"));
    closers.push(() => rm(own, { recursive: true }));
    try {
      file = join(own, "routes.yaml");
      await writeFile(file, tableOf("pr-1"));
      const { next, source } = await following();
      await chmod(file, 0o000);
      expect(await next()).toBe("unreadable");
      expect(source.status().lastError?.message).toMatch(/permission denied/);
      await chmod(file, 0o600);
      expect(await next()).toBe("unchanged");
    } finally {
      if (root) process.seteuid?.(0);
    }
  });

  test("when the loader fails; it is tried again without a change, and the outcome is told once", async () => {
    await writeFile(file, tableOf("pr-1"));
    let calls = 0;
    const { next, sandbox, source, logged } = await following(
      { pollMs: 20 },
      {
        loadOffLoop: (job) =>
          Promise.resolve(++calls < 4 ? { result: "failed", message: "out of memory" } : loadBytes(job)),
      },
    );
    await replaceWith(bigTable(1000));
    expect(await next()).toBe("rejected");
    expect(sandbox("pr-1")).toBe(true);
    expect(source.status().lastError?.kind).toBe("load-failed");
    expect(await next()).toBe("applied");
    expect(calls).toBe(4);
    expect(logged.filter((line) => line.includes("out of memory"))).toHaveLength(1);
  });

  test("when the loader throws, or what it gives is no table", async () => {
    await writeFile(file, tableOf("pr-1"));
    let calls = 0;
    const { next, sandbox, source } = await following(
      { pollMs: 20 },
      {
        loadOffLoop: (job) => {
          if (++calls === 1) throw new Error("a bug");
          if (calls > 2) return Promise.resolve(loadBytes(job));
          return Promise.resolve({
            result: "loaded",
            digest: "0",
            image: { buffer: new ArrayBuffer(8) },
            warnings: [],
          });
        },
      },
    );
    await replaceWith(bigTable(1000));
    expect(await next()).toBe("rejected");
    expect(source.status().lastError?.message).toMatch(/a bug/);
    expect(await next()).toBe("rejected");
    expect(source.status().lastError?.message).toMatch(/cut short/);
    expect(sandbox("pr-1")).toBe(true);
    expect(await next()).toBe("applied");
  });
});

describe("what needs no reload", () => {
  test("the same content again, rewritten, replaced or touched", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, until, cell, logged } = await following();
    const table = cell.current;
    await writeFile(file, tableOf("pr-1"));
    await until("unchanged");
    await replaceWith(tableOf("pr-1"));
    expect(await next()).toBe("unchanged");
    await utimes(file, 1, 1);
    expect(await next()).toBe("unchanged");
    expect(cell.current).toBe(table);
    expect(logged).toEqual(["info: table in use"]);
  });

  test("a failure is told once, however often it is met, and again when it comes back", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, until, told, logged } = await following({ pollMs: 20 });
    const errors = (): number => logged.filter((line) => line.startsWith("error: ")).length;
    await replaceWith(BAD);
    expect(await next()).toBe("rejected");
    await utimes(file, 1, 1); // looked at again, the same bad content: nothing to tell
    await replaceWith(`${BAD}# other content, the same mistake\n`);
    expect(await next()).toBe("rejected");
    expect(errors()).toBe(2);
    await replaceWith(tableOf("pr-1"));
    expect(await next()).toBe("unchanged");
    await replaceWith(BAD);
    expect(await next()).toBe("rejected");
    await unlink(file);
    expect(await next()).toBe("unreadable");
    await writeFile(file, BAD);
    await until("rejected");
    expect(errors()).toBe(5);
    expect(told).toEqual([]);
  });

  test("a listener that throws is logged and takes nothing down", async () => {
    await writeFile(file, tableOf("pr-1"));
    const { next, cell, logged, sandbox } = await following();
    cell.onPublish(() => {
      throw new Error("cannot follow");
    });
    await replaceWith(tableOf("pr-2"));
    expect(await next()).toBe("applied");
    expect(sandbox("pr-2")).toBe(true);
    expect(logged).toContain("error: a listener failed on a new table");
  });
});

test("warnings are kept with the table and logged", async () => {
  const both = `${tableOf("pr-1")}  pr-2:\n    services: { checkout: ["10.0.0.8:8080"] }\ngroups: { g: { sandboxes: [pr-1, pr-2] } }\n`;
  await writeFile(file, both);
  const { source, logged } = await following();
  expect(source.status().warnings).toHaveLength(1);
  expect(source.status().warnings[0]).toMatch(/routes\.yaml:\d+:\d+: /);
  expect(logged.filter((line) => line.startsWith("warn: "))).toHaveLength(1);
});
