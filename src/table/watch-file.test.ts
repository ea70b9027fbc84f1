import { mkdirSync } from "node:fs";
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FileWatch, planWatch, watchDirectory } from "./watch-file.ts";

let directory = "";

beforeEach(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), "sidelane-watch-")));
});
afterEach(() => rm(directory, { recursive: true }));

/** The plan as `relative directory -> names`; "" is the test's own directory. */
async function planOf(file: string): Promise<Record<string, string[]>> {
  const plan = await planWatch(join(directory, file));
  const relative = (path: string): string => path.slice(directory.length + 1);
  return Object.fromEntries([...plan].map(([path, { names }]) => [relative(path), [...names].toSorted()]));
}

test("a plain file: the directory that holds it", async () => {
  await writeFile(join(directory, "routes.yaml"), "");
  expect(await planOf("routes.yaml")).toEqual({ "": ["routes.yaml"] });
});

test("a ConfigMap: the mount for both links, and the version's directory for the file", async () => {
  await mkdir(join(directory, "..2026_11_23"));
  await writeFile(join(directory, "..2026_11_23", "routes.yaml"), "");
  await symlink("..2026_11_23", join(directory, "..data"));
  await symlink("..data/routes.yaml", join(directory, "routes.yaml"));
  expect(await planOf("routes.yaml")).toEqual({
    "": ["..data", "routes.yaml"],
    "..2026_11_23": ["routes.yaml"],
  });
});

test("an absolute link, one that goes up, and a chain: each place that holds a link", async () => {
  await mkdir(join(directory, "a", "b"), { recursive: true });
  await mkdir(join(directory, "c"));
  await writeFile(join(directory, "c", "real.yaml"), "");
  await symlink("../../c/./real.yaml", join(directory, "a", "b", "up.yaml"));
  await symlink(join(directory, "a", "b", "up.yaml"), join(directory, "absolute.yaml"));
  expect(await planOf("absolute.yaml")).toEqual({ "": ["absolute.yaml"], "a/b": ["up.yaml"], c: ["real.yaml"] });
});

test("something missing: the place where it would appear", async () => {
  await mkdir(join(directory, "a"));
  expect(await planOf("a/routes.yaml")).toEqual({ a: ["routes.yaml"] });
  expect(await planOf("a/b/c/routes.yaml")).toEqual({ a: ["b"] });
  await symlink("a/gone/routes.yaml", join(directory, "dangling.yaml"));
  expect(await planOf("dangling.yaml")).toEqual({ "": ["dangling.yaml"], a: ["gone"] });
});

test("links that go round in circles end", async () => {
  await symlink("two", join(directory, "one"));
  await symlink("one", join(directory, "two"));
  expect(await planOf("one")).toEqual({ "": ["one", "two"] });
});

test("a directory in place of the file: where it stands", async () => {
  const plan = await planWatch(directory);
  expect([...plan.keys()]).toEqual([dirname(directory)]);
  expect(plan.get(dirname(directory))?.names).toEqual(new Set([basename(directory)]));
});

test("a directory that appears between the plan and its watch is watched all the same", async () => {
  const watched: string[] = [];
  const watch = new FileWatch(
    join(directory, "conf", "routes.yaml"),
    { changed: () => {}, unwatchable: (name, code) => watched.push(`${name} ${code}`) },
    (name, onEvent) => {
      watched.push(basename(name));
      if (name === directory) mkdirSync(join(directory, "conf"));
      return watchDirectory(name, onEvent);
    },
  );
  await watch.refresh();
  watch.close();
  expect(watched).toEqual([basename(directory), "conf"]);
});
