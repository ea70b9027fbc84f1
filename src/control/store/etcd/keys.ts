// Where things lie in etcd, below the prefix. `table/` is what replicas follow; a commit writes there and in `log/` at one revision
// of etcd. The keys are not for editing by hand.
//
//   table/head               {format, source, revision, commit}: compared and written by every commit
//   table/KIND/NAME          a resource
//   log/REVISION             {commit, entries}: which commit made the revision, and its audit entries
//   traffic/NAME             when a sandbox last had traffic, milliseconds
//   live/ID                  a replica, as long as its lease lives

import type { Kind, ResourceId } from "../../resource.ts";

const kinds: readonly Kind[] = ["service", "sandbox", "group"];
const DIGITS = 16;

export interface KeyRange {
  readonly key: string;
  readonly end: string;
}

export class Keys {
  readonly #prefix: string;
  readonly head: string;
  readonly table: KeyRange;
  readonly traffic: KeyRange;
  readonly live: KeyRange;

  constructor(prefix: string) {
    this.#prefix = prefix;
    this.head = `${prefix}/table/head`;
    this.table = this.#below("table");
    this.traffic = this.#below("traffic");
    this.live = this.#below("live");
  }

  resource({ kind, name }: ResourceId): string {
    return `${this.table.key}${kind}/${name}`;
  }

  /** Undefined for a key that is no resource's. */
  resourceOf(key: string): ResourceId | undefined {
    const [, kind, name = ""] = /^([a-z]+)\/(.+)$/s.exec(key.slice(this.table.key.length)) ?? [];
    const known = kinds.find((one) => one === kind);
    return known === undefined || !key.startsWith(this.table.key) ? undefined : { kind: known, name };
  }

  log(revision: number): string {
    return `${this.#prefix}/log/${String(revision).padStart(DIGITS, "0")}`;
  }

  trafficOf(name: string): string {
    return this.traffic.key + name;
  }

  liveOf(id: string): string {
    return this.live.key + id;
  }

  #below(folder: string): KeyRange {
    // "0" comes right after "/".
    return { key: `${this.#prefix}/${folder}/`, end: `${this.#prefix}/${folder}0` };
  }
}
