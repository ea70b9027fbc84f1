import { spawn } from "node:child_process";
import { once } from "node:events";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, open, rm } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { describeStore, opened } from "../../../test/support/store-contract.ts";
import { commitOf, sandbox } from "../../../test/support/store-data.ts";
import { FileStore } from "./file-store.ts";
import type { FileStoreOptions } from "./file-store.ts";
import { recordLine } from "./file/record.ts";
import { StoreUnavailableError, StoreUnusableError } from "./store.ts";

describeStore("file", async () => {
  const path = await folder();
  return { again: () => new FileStore(path), shared: false };
});

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sidelane-store-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** A store with one commit per name, closed again; the path of its only log. */
async function written(path: string, names: readonly string[], options: FileStoreOptions = {}): Promise<string> {
  const { store, follower } = await opened(new FileStore(path, options));
  for (const name of names) await store.commit(commitOf(follower.revision, [sandbox(name)]));
  await store.close();
  return newestLog(path);
}

function newestLog(path: string): string {
  const newest = readdirSync(path)
    .filter((name) => name.endsWith(".log"))
    .toSorted()
    .at(-1);
  return join(path, newest ?? "none");
}

/** What opening gives: the revision and what was told, or the sentence of the refusal. */
async function whatOpens(path: string): Promise<{ revision: number; told: string[] } | string> {
  const told: string[] = [];
  const store = new FileStore(path, { warn: (message) => told.push(message) });
  let revision = -1;
  try {
    await store.open({ reset: (snapshot) => (revision = snapshot.revision), changed: () => {}, reachable: () => {} });
  } catch (error) {
    if (error instanceof StoreUnusableError) return error.message;
    throw error;
  } finally {
    await store.close();
  }
  return { revision, told };
}

/** Ends of the lines of a log; the first commit's line begins at `begin`. */
function lines(log: Buffer): { begin: number; ends: number[] } {
  const ends: number[] = [];
  for (let at = log.indexOf(10); at !== -1; at = log.indexOf(10, at + 1)) ends.push(at + 1);
  const begin = log.indexOf(10, log.indexOf('{"record":"begin"}')) + 1;
  return { begin, ends: ends.filter((end) => end > begin) };
}

describe("after kill -9", () => {
  const writer = fileURLToPath(new URL("../../../test/support/store-writer.ts", import.meta.url));

  test("every acknowledged commit is there, whole and once; the dead process holds no lock", async () => {
    const path = await folder();
    let acknowledged = 0;
    for (let round = 0; round < 25; round++) {
      const child = spawn(process.execPath, [writer, path], { stdio: ["ignore", "pipe", "inherit"] });
      const until = Math.floor(Math.random() * 40);
      let said = 0;
      for await (const line of createInterface(child.stdout)) {
        const [word, number] = line.split(" ");
        if (word === "told") expect(line).toContain("never finished");
        if (word === "open") expect(Number(number)).toBeGreaterThanOrEqual(acknowledged);
        if (word === "done") acknowledged = Number(number);
        if (word === "open" && round === 0) {
          expect(await whatOpens(path)).toContain(`in use by process ${child.pid} on `);
        }
        if (++said === until + 2) child.kill("SIGKILL");
      }
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
      expect(child.signalCode).toBe("SIGKILL");
    }
    const { store, follower } = await opened(new FileStore(path));
    expect(follower.revision).toBeGreaterThanOrEqual(acknowledged);
    // One that was not acknowledged any more may be there, no more than that in each round's end.
    const names = Array.from({ length: follower.revision }, (_, i) => `sandbox/r${i + 1}`);
    expect([...follower.resources.keys()].toSorted()).toEqual(names.toSorted());
    for (const { name, meta } of follower.resources.values()) expect(name).toBe(`r${meta.version}`);
    const audit = await store.audit({ limit: 10_000 });
    expect(audit.map(({ revision }) => revision)).toEqual(names.map((_, i) => names.length - i));
  }, 120_000);
});

describe("a damaged log", () => {
  test("cut off at any byte has every commit before, and says so once", async () => {
    const path = await folder();
    const file = await written(path, ["a", "bé", "c"]);
    const whole = readFileSync(file);
    const { begin, ends } = lines(whole);
    for (let length = 0; length < whole.length; length++) {
      writeFileSync(file, whole.subarray(0, length));
      const result = await whatOpens(path);
      if (length < begin) {
        expect(result, `${length}`).toContain(`${file}: byte `);
        continue;
      }
      const told = length === begin || ends.includes(length) ? [] : [expect.stringContaining("cut off")];
      expect(result, `${length}`).toEqual({ revision: ends.filter((end) => end <= length).length, told });
      expect(await whatOpens(path), `${length}, again`).toMatchObject({ told: [] });
    }
  }, 120_000);

  test("with any one byte changed is refused by file and byte, or loses only what was being written", async () => {
    const path = await folder();
    const file = await written(path, ["a", "b", "c", "d"]);
    const whole = readFileSync(file);
    const { ends } = lines(whole);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), async (at, flip) => {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ flip;
        writeFileSync(file, changed);
        const result = await whatOpens(path);
        if (typeof result === "string") {
          expect(result).toContain(file);
          const named = Number(/: byte (\d+): /.exec(result)?.[1]);
          expect(named).toBeLessThanOrEqual(at);
          expect(readFileSync(file).equals(changed)).toBe(true);
        } else {
          // Within the last record, which now looks as if it had never been finished.
          expect(at).toBeGreaterThanOrEqual(ends.at(-2) ?? 0);
          expect(result).toEqual({ revision: 3, told: [expect.stringContaining("never finished")] });
        }
      }),
      { numRuns: 300 },
    );
  }, 60_000);

  test("says how many good records follow the damage, and what to do", async () => {
    const path = await folder();
    const file = await written(path, ["a", "b", "c"]);
    const log = readFileSync(file);
    const at = lines(log).begin;
    log[at + 30] = 0x21;
    writeFileSync(file, log);
    expect(await whatOpens(path)).toBe(
      `${file}: byte ${at}: the record is damaged (2 good records follow); nothing was changed. Restore a backup, start a version that knows it, or go on from revision 0 and lose what came later: truncate --size=${at} ${file}`,
    );
  });

  test("with zeros where the last record was to be is cut off", async () => {
    const path = await folder();
    const file = await written(path, ["a"]);
    writeFileSync(file, Buffer.concat([readFileSync(file), Buffer.alloc(4096)]));
    expect(await whatOpens(path)).toEqual({ revision: 1, told: [expect.stringContaining("4096 bytes")] });
  });

  test("with a commit missing, or of a later format, is refused", async () => {
    const path = await folder();
    const file = await written(path, ["a", "b", "c"]);
    const log = readFileSync(file);
    const { ends } = lines(log);
    writeFileSync(file, Buffer.concat([log.subarray(0, ends[0]), log.subarray(ends[1])]));
    expect(await whatOpens(path)).toContain("revision 3 comes after revision 1");
    const header = { record: "header", format: 2, source: "s", home: "h", revision: 0, madeAt: "" } as const;
    writeFileSync(file, Buffer.concat([recordLine(header), recordLine({ record: "begin" })]));
    expect(await whatOpens(path)).toContain("byte 0: the log has format 2, this version knows format 1");
  });

  test("that is not complete names the one before it", async () => {
    const path = await folder();
    const file = await written(path, ["a", "b", "c"], { growBytes: 1, renewEveryMs: 0 });
    expect(readdirSync(path).filter((name) => name.endsWith(".log"))).toHaveLength(2);
    writeFileSync(file, readFileSync(file).subarray(0, 40));
    const refused = await whatOpens(path);
    expect(refused).toContain("before its contents are complete; restore a backup, or move commits-");
    await rm(file);
    expect(await whatOpens(path)).toMatchObject({ revision: expect.any(Number) });
  });
});

describe("a disk that takes nothing", () => {
  /** Lets a call of every open file fail for a while. */
  async function failing(call: "write" | "datasync" | "truncate", code: string): Promise<() => void> {
    const probe = await open(fileURLToPath(import.meta.url));
    const prototype = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    const spy = vi.spyOn(prototype, call).mockImplementation(() => {
      throw Object.assign(new Error(`${code}: no, ${call}`), { code });
    });
    onTestFinished(() => spy.mockRestore());
    return () => spy.mockRestore();
  }

  test.each([
    ["write", "ENOSPC"],
    ["datasync", "EIO"],
    ["write", "EROFS"],
  ] as const)("%s: %s is said, reading goes on, and writing works again by itself", async (call, code) => {
    const path = await folder();
    const { store, follower } = await opened(new FileStore(path, { retryMs: 20 }));
    await store.commit(commitOf(0, [sandbox("a")]));
    const restore = await failing(call, code);
    const refused = commitOf(1, [sandbox("b")]);
    await expect(store.commit(refused)).rejects.toThrow(StoreUnavailableError);
    await expect(store.commit(refused)).rejects.toThrow(`cannot be written: ${code}: no`);
    await expect(store.noteTraffic({ a: 1 })).rejects.toThrow(StoreUnavailableError);
    expect(follower.isReachable).toBe(false);
    expect(await store.audit({ limit: 1 })).toMatchObject([{ name: "a" }]);
    await pause(100);
    expect(follower.reachability.map(({ yes }) => yes)).toEqual([true, false]);
    restore();
    await follower.until(({ isReachable }) => isReachable);
    expect(await store.commit(refused)).toMatchObject({ done: true, revision: 2 });
    await store.close();
    expect(await whatOpens(path)).toEqual({ revision: 2, told: [] });
  });

  test("while a new log is begun: the old one goes on", async () => {
    const path = await folder();
    const told: string[] = [];
    const warn = (message: string): void => void told.push(message);
    const { store } = await opened(new FileStore(path, { growBytes: 1, renewEveryMs: 0, warn }));
    const probe = await open(fileURLToPath(import.meta.url));
    const prototype = Object.getPrototypeOf(probe) as FileHandle;
    await probe.close();
    // The record's own sync works, that of the new log does not.
    const real = Reflect.get(prototype, "datasync");
    let calls = 0;
    const spy = vi.spyOn(prototype, "datasync").mockImplementation(function (this: FileHandle) {
      calls++;
      if (calls % 2 === 0) throw new Error("ENOSPC: no space left on device, fdatasync");
      return real.call(this);
    });
    onTestFinished(() => spy.mockRestore());
    for (let revision = 0; revision < 3; revision++) {
      expect(await store.commit(commitOf(revision, [sandbox("a")]))).toMatchObject({ done: true });
    }
    expect(told[0]).toContain("a new log could not be begun: ENOSPC: no space left on device; the old one goes on");
    spy.mockRestore();
    expect(readdirSync(path).toSorted()).toEqual(["commits-00000001.log", "lock", "owner"]);
    await store.close();
    expect(await whatOpens(path)).toMatchObject({ revision: 3 });
  });
});

describe("the directory", () => {
  test("belongs to one store at a time", async () => {
    const path = await folder();
    await opened(new FileStore(path));
    expect(await whatOpens(path)).toContain(`${path} is in use by process ${process.pid} on `);
  });

  test("copied while it is written to is a usable backup with a source of its own", async () => {
    const path = await folder();
    const { store, follower } = await opened(new FileStore(path, { growBytes: 20_000, renewEveryMs: 50 }));
    const copies = await folder();
    let writing = true;
    const writer = (async () => {
      while (writing) await store.commit(commitOf(follower.revision, [sandbox(`s${follower.revision % 50}`)]));
    })();
    for (let i = 0; i < 20; i++) {
      await pause(Math.random() * 20);
      const before = follower.revision;
      const copy = join(copies, String(i));
      cpSync(path, copy, { recursive: true });
      const result = await whatOpens(copy);
      expect(typeof result === "string" ? result : result.revision).toBeGreaterThanOrEqual(before);
    }
    writing = false;
    await writer;
    const copy = await opened(new FileStore(join(copies, "3")));
    expect(copy.store.source).not.toBe(store.source);
    await copy.store.close();
    const again = await opened(new FileStore(join(copies, "3")));
    expect(again.store.source).toBe(copy.store.source);
  });

  test("does not grow for ever: a new log has what is known, and the audit log its newest entries", async () => {
    const path = await folder();
    const { store, follower } = await opened(new FileStore(path, { growBytes: 30_000, renewEveryMs: 0 }));
    await store.noteTraffic({ nobody: 5 });
    for (let revision = 0; revision < 500; revision++) {
      await store.commit(commitOf(revision, [sandbox("a", "10.0.0.1:1", String(revision))]));
    }
    await store.noteTraffic({ a: 5 });
    await store.close();
    const logs = readdirSync(path).filter((name) => name.endsWith(".log"));
    expect(logs).toHaveLength(2);
    expect(Number(logs[0]?.replace(/\D/g, ""))).toBeGreaterThan(1);
    const later = await opened(new FileStore(path));
    expect([...later.follower.resources]).toEqual([...follower.resources]);
    expect(await later.store.audit({ limit: 1000 })).toEqual(await store.audit({ limit: 1000 }));
    expect(await later.store.audit({ limit: 1000 })).toHaveLength(500);
    expect(await later.store.traffic()).toEqual({ a: 5 });
  });

  test("that cannot be made or written is refused with a sentence", async () => {
    const path = await folder();
    writeFileSync(join(path, "file"), "");
    expect(await whatOpens(join(path, "file", "below"))).toContain(
      "cannot be made: ENOTDIR: not a directory; name one",
    );
    expect(await whatOpens(join(path, "file"))).toContain("cannot be made: EEXIST");
    expect(await whatOpens("/proc/none/of/these")).toContain("cannot be made: ENOENT");
  });
});
