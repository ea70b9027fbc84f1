// A process that commits to a file store as fast as it can, until it is killed: each commit adds a sandbox that has the name of
// its revision. Says `open REVISION`, then `done REVISION` for each commit that was acknowledged. argv: the directory.
import { writeSync } from "node:fs";
import { FileStore } from "../../src/control/store/file-store.ts";
import { commitOf, sandbox } from "./store-data.ts";

const [path = ""] = process.argv.slice(2);
// Small, so that many rounds fall into the moments at which a new log is begun.
const store = new FileStore(path, { growBytes: 2000, renewEveryMs: 0, warn: (told) => say(`told ${told}`) });
let revision = 0;
await store.open({
  reset: (snapshot) => (revision = snapshot.revision),
  changed: (change) => (revision = change.revision),
  reachable: () => {},
});
say(`open ${revision}`);
for (;;) {
  const next = revision + 1;
  const result = await store.commit(commitOf(revision, [sandbox(`r${next}`)]));
  say(`done ${result.done ? result.revision : "not"}`);
}

function say(line: string): void {
  writeSync(1, `${line}\n`);
}
