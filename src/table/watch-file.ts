import { watch } from "node:fs";
import type { FSWatcher } from "node:fs";
import { lstat, readlink } from "node:fs/promises";
import { basename, join, parse, resolve, sep } from "node:path";
import { errorCode } from "./read-file.ts";

/** As many symbolic links as Linux itself follows before it says ELOOP. */
const HOPS_MAX = 40;
/** A file system that changes faster than it can be watched is left to polling. */
const ROUNDS_MAX = 8;

/** Directories to watch, each with the names in it on which the path depends, and what tells the directory from its successor. */
export type WatchPlan = ReadonlyMap<string, { readonly identity: string; readonly names: ReadonlySet<string> }>;

/**
 * The directories whose entries decide what `file` means: the one that holds the file, the one that holds each symbolic link
 * on the way (a mounted ConfigMap is `routes.yaml -> ..data/routes.yaml` and `..data -> ..2026_11_23`; an update replaces
 * `..data`), and, when something is missing, the one in which it would appear.
 *
 * Directories are watched and not the file, because a watch belongs to an inode: it would stay with the old file after
 * an editor or Kubernetes has renamed a new one into its place.
 */
export async function planWatch(file: string): Promise<WatchPlan> {
  const plan = new Map<string, { identity: string; names: Set<string> }>();
  const depend = async (directory: string, name: string): Promise<void> => {
    const known = plan.get(directory);
    if (known !== undefined) return void known.names.add(name);
    const { dev, ino } = await lstat(directory, { bigint: true });
    plan.set(directory, { identity: `${dev}:${ino}`, names: new Set([name]) });
  };

  const absolute = resolve(file);
  let directory = parse(absolute).root;
  const rest = absolute.slice(directory.length).split(sep);
  let hops = 0;
  try {
    for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
      if (name === "" || name === ".") continue;
      const path = join(directory, name); // "..": `directory` has no links in it, so the parent is the textual one
      const kind = await kindOf(path);
      if (kind === "link") {
        await depend(directory, name);
        if (++hops > HOPS_MAX) break;
        const target = await readlink(path);
        const { root } = parse(target);
        if (root !== "") directory = root;
        rest.unshift(...target.slice(root.length).split(sep));
      } else if (kind === "directory" && rest.some((part) => part !== "" && part !== ".")) {
        directory = path;
      } else {
        await depend(directory, name);
        break;
      }
    }
  } catch {
    // Something vanished between two looks: what has been found so far is watched, and polling takes the next look.
  }
  return plan;
}

async function kindOf(path: string): Promise<"link" | "directory" | "other" | "none"> {
  try {
    const stats = await lstat(path);
    return stats.isSymbolicLink() ? "link" : stats.isDirectory() ? "directory" : "other";
  } catch {
    return "none";
  }
}

/** `fs.watch`, or in tests something that never speaks, as on NFS. */
export type WatchDirectory = (directory: string, onEvent: (name: string | null) => void) => FSWatcher;

/** The real thing. Not persistent: watching a table keeps no process alive. */
export const watchDirectory: WatchDirectory = (directory, onEvent) =>
  watch(directory, { persistent: false }, (_type, name) => onEvent(name));

/** What a `FileWatch` tells its owner. */
export interface FileWatchEvents {
  /** Something happened that may have changed the file. */
  readonly changed: () => void;
  /** A directory cannot be watched (too many watches, permissions): only polling sees changes below it. */
  readonly unwatchable: (directory: string, code: string) => void;
}

/**
 * Keeps the right directories watched while links and directories come and go. `refresh()` must run before every look at
 * the file: whatever changes after it is either seen by that look or told by an event.
 */
export class FileWatch {
  readonly #file: string;
  readonly #events: FileWatchEvents;
  readonly #watchDirectory: WatchDirectory;
  readonly #watchers = new Map<string, { identity: string; names: ReadonlySet<string>; watcher: FSWatcher }>();
  #closed = false;

  constructor(file: string, events: FileWatchEvents, watchDirectoryWith: WatchDirectory = watchDirectory) {
    this.#file = file;
    this.#events = events;
    this.#watchDirectory = watchDirectoryWith;
  }

  /** Brings the watches in line with the file system. Never throws. */
  async refresh(): Promise<void> {
    // A plan is out of date when something changed between making it and watching it. One that changes nothing was made
    // with every watch in place: from then on no change goes by without an event.
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const plan = await planWatch(this.#file);
      if (this.#closed || !this.#apply(plan)) return;
    }
  }

  #apply(plan: WatchPlan): boolean {
    let changed = false;
    for (const [directory, watched] of this.#watchers) {
      // Another directory of the same name has taken its place: the watch belongs to the old one.
      if (plan.get(directory)?.identity === watched.identity) continue;
      this.#stop(directory, watched.watcher);
      changed = true;
    }
    for (const [directory, { identity, names }] of plan) {
      const watched = this.#watchers.get(directory);
      if (watched === undefined) {
        if (this.#start(directory, identity, names)) changed = true;
      } else if (!sameNames(watched.names, names)) {
        watched.names = names;
        changed = true;
      }
    }
    return changed;
  }

  close(): void {
    this.#closed = true;
    for (const [directory, { watcher }] of this.#watchers) this.#stop(directory, watcher);
  }

  #start(directory: string, identity: string, names: ReadonlySet<string>): boolean {
    try {
      const watcher = this.#watchDirectory(directory, (name) => {
        // Under its own name the directory tells that it was moved or removed. The watch is dead then, also when a new
        // directory takes the place and happens to get the same inode number.
        if (name === basename(directory)) this.#stop(directory, watcher);
        else if (name !== null && this.#watchers.get(directory)?.names.has(name) !== true) return;
        this.#events.changed();
      });
      watcher.on("error", (error) => {
        this.#stop(directory, watcher);
        this.#events.unwatchable(directory, errorCode(error));
      });
      this.#watchers.set(directory, { identity, names, watcher });
      return true;
    } catch (error) {
      this.#events.unwatchable(directory, errorCode(error));
      return false;
    }
  }

  #stop(directory: string, watcher: FSWatcher): void {
    watcher.close();
    if (this.#watchers.get(directory)?.watcher === watcher) this.#watchers.delete(directory);
  }
}

function sameNames(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  return a.size === b.size && [...a].every((name) => b.has(name));
}
