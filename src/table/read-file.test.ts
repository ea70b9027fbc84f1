import { execFileSync } from "node:child_process";
import { mkdtemp, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fingerprintOf, readTableFile } from "./read-file.ts";

let directory = "";
let file = "";

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "sidelane-read-"));
  file = join(directory, "routes.yaml");
});
afterEach(() => rm(directory, { recursive: true }));

test("the bytes, with the fingerprint that the path has", async () => {
  await writeFile(file, "services: {}\n");
  const read = await readTableFile(file, 13);
  if (!read.ok) throw new Error(read.message);
  expect(Buffer.from(read.bytes).toString()).toBe("services: {}\n");
  expect(await fingerprintOf(file)).toBe(read.fingerprint);
});

test("another fingerprint when the content was written with the times of before", async () => {
  await writeFile(file, "services: {}\n");
  await utimes(file, 1, 1);
  const before = await fingerprintOf(file);
  await writeFile(file, "services: { }".slice(0, 12) + "\n");
  await utimes(file, 1, 1);
  expect(await fingerprintOf(file)).not.toBe(before);
});

test("one byte over the limit is refused, naming both numbers", async () => {
  await writeFile(file, "services: {}\n");
  const read = await readTableFile(file, 12);
  expect(read).toMatchObject({ ok: false, kind: "too-large" });
  expect(read.ok ? "" : read.message).toBe(`${file} has 13 bytes, more than limits.tableBytesMax (12)`);
});

test("nothing there, or a file on the way: missing", async () => {
  expect(await readTableFile(file, 10)).toMatchObject({ ok: false, kind: "missing", fingerprint: "error:ENOENT" });
  await writeFile(file, "");
  expect(await readTableFile(join(file, "x"), 10)).toMatchObject({ ok: false, kind: "missing" });
  expect(await fingerprintOf(join(file, "x"))).toBe("error:ENOTDIR");
});

test("a directory, a pipe that nobody writes to, and a circle of links: unreadable, at once", async () => {
  expect(await readTableFile(directory, 10_000)).toMatchObject({
    kind: "unreadable",
    message: `${directory} is a directory, not a file`,
  });
  execFileSync("mkfifo", [file]);
  expect(await readTableFile(file, 10)).toMatchObject({
    kind: "unreadable",
    message: `${file} is a named pipe, not a file`,
  });
  const loop = join(directory, "loop");
  await symlink("loop", loop);
  expect(await readTableFile(loop, 10)).toMatchObject({ kind: "unreadable", fingerprint: "error:ELOOP" });
});
