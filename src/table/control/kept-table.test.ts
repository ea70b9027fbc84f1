import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { fedDigest } from "../../feed/compile-fed.ts";
import { FedTable } from "../../feed/fed-table.ts";
import type { Candidate } from "../../feed/fed-table.ts";
import { KeptFile, readKept } from "./kept-table.ts";

const FOR = { service: "checkout", scope: { services: [], names: false } };

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sidelane-kept-"));
  onTestFinished(() => rm(path, { recursive: true }));
  return path;
}

function candidate(revision: number, size = 1): Candidate {
  const fed = new FedTable(FOR.scope, 1e9);
  const groups = Object.fromEntries(
    Array.from({ length: size }, (_, index) => [`g-${revision}-${index}`, { sandboxes: [] }]),
  );
  fed.restore("history-1", revision, { services: {}, sandboxes: {}, groups });
  const made = fed.begin();
  if (made === undefined) throw new Error("nothing to keep");
  return made;
}

const keep = (file: KeptFile, one: Candidate): void => file.keep(one, fedDigest(one.document()));

test("what was kept is read again; the folder is made", async () => {
  const path = join(await folder(), "made", "kept.json");
  const file = new KeptFile(path, FOR, (message) => expect.unreachable(message));
  keep(file, candidate(5, 5000));
  await file.settled();
  const read = await readKept(path, FOR, 1e9);
  expect(read).toMatchObject({ kind: "kept", source: "history-1", revision: 5 });
  expect(read.kind === "kept" && Object.keys(read.document.groups)).toHaveLength(5000);
  expect(await readdir(join(path, ".."))).toEqual(["kept.json"]);
});

test("whoever reads while it is written sees a whole table", async () => {
  const path = join(await folder(), "kept.json");
  const file = new KeptFile(path, FOR, (message) => expect.unreachable(message));
  keep(file, candidate(1, 2000));
  await file.settled();
  let writing = true;
  const writer = (async () => {
    for (let revision = 2; revision < 30; revision++) {
      keep(file, candidate(revision, 2000));
      await file.settled();
    }
    writing = false;
  })();
  const seen = new Set<string>();
  while (writing) seen.add((await readKept(path, FOR, 1e9)).kind);
  await writer;
  expect([...seen]).toEqual(["kept"]);
});

test("of tables that come while one is written only the last is", async () => {
  const path = join(await folder(), "kept.json");
  const file = new KeptFile(path, FOR, (message) => expect.unreachable(message));
  for (let revision = 1; revision <= 50; revision++) keep(file, candidate(revision));
  await file.settled();
  expect(await readKept(path, FOR, 1e9)).toMatchObject({ revision: 50 });
});

test("a file that is there and cannot be written stays as it is", async () => {
  const path = join(await folder(), "no", "such", "kept.json");
  const failures: string[] = [];
  const file = new KeptFile(path, FOR, (message) => failures.push(message));
  keep(file, candidate(1));
  await file.settled();
  expect(failures).toEqual([`${path} cannot be written (ENOENT)`]);
  expect(await readKept(path, FOR, 1e9)).toEqual({ kind: "none" });
});

test("a file of somebody else is told by name", async () => {
  const path = join(await folder(), "kept.json");
  const file = new KeptFile(path, FOR, (message) => expect.unreachable(message));
  keep(file, candidate(1));
  await file.settled();
  expect(await readFile(path, "utf8")).toContain('"g-1-0":{"sandboxes":[]}');
  expect(await readKept(path, { ...FOR, service: "ledger" }, 1e9)).toEqual({
    kind: "unusable",
    why: `${path} was kept for service checkout`,
  });
});
