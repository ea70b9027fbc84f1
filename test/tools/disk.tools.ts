// The file store on a file system that is really full, and really read-only. Not part of `npm test`, because a file system of its
// own needs root and `mount` (Debian: mount).
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, onTestFinished, test } from "vitest";
import { FileStore } from "../../src/control/store/file-store.ts";
import { StoreUnavailableError } from "../../src/control/store/store.ts";
import { opened } from "../support/store-contract.ts";
import { commitOf, sandbox } from "../support/store-data.ts";

const run = promisify(execFile);

/** A file system of one megabyte in memory. */
async function smallDisk(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "sidelane-disk-"));
  await run("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]).catch((error: unknown) => {
    throw new Error("a file system cannot be mounted here: this suite needs root (CAP_SYS_ADMIN) and mount", {
      cause: error,
    });
  });
  onTestFinished(async () => {
    await run("umount", ["--lazy", path]);
    await rm(path, { recursive: true, force: true });
  });
  return path;
}

test("full: said, nothing half written, and it goes on when there is room; a start on a full disk reads", async () => {
  const disk = await smallDisk();
  const path = join(disk, "store");
  const { store, follower } = await opened(new FileStore(path, { retryMs: 20 }));
  const wide = (name: string) => [sandbox(name, "10.0.0.1:1", "x".repeat(50_000))];
  await store.commit(commitOf(0, wide("first")));
  await writeFile(join(disk, "ballast"), Buffer.alloc(700_000));
  let refused: unknown;
  while (refused === undefined) {
    const commit = store.commit(commitOf(follower.revision, wide(`s${follower.revision}`)));
    refused = await commit.then(
      () => undefined,
      (error: unknown) => error,
    );
  }
  expect(refused).toBeInstanceOf(StoreUnavailableError);
  expect((refused as Error).message).toContain("cannot be written: ENOSPC: no space left on device; reading goes on");
  await writeFile(join(disk, "ballast2"), Buffer.alloc(1_000_000)).catch(() => {});
  const { revision } = follower;
  await store.close();

  const again = await opened(new FileStore(path, { retryMs: 20 }));
  expect(again.follower.revision).toBe(revision);
  await expect(again.store.commit(commitOf(revision, wide("more")))).rejects.toThrow(StoreUnavailableError);
  await rm(join(disk, "ballast"));
  await rm(join(disk, "ballast2"));
  await again.follower.until(({ isReachable }) => isReachable);
  expect(await again.store.commit(commitOf(revision, wide("more")))).toMatchObject({ done: true });
});

test("read-only: refused at the start with a sentence", async () => {
  const disk = await smallDisk();
  const path = join(disk, "store");
  const first = await opened(new FileStore(path));
  await first.store.commit(commitOf(0, [sandbox("a")]));
  await first.store.close();
  await run("mount", ["-o", "remount,ro", disk]);
  await expect(opened(new FileStore(path))).rejects.toThrow(`${path} cannot be written: `);
  await run("mount", ["-o", "remount,rw", disk]);
  const again = await opened(new FileStore(path));
  expect(again.follower.revision).toBe(1);
});
