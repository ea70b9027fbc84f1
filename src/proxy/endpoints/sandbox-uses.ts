// Which sandboxes have requests: for control planes, which let a sandbox expire that nobody uses, and wait with the end of a
// deletion until the last exchange is over.
//
// Guarantees: a request costs a comparison and two additions; a new table loses nothing, since what is counted belongs to a
// sandbox and its endpoints and not to a table. Without a control plane nothing is kept: see `NO_USE`.
//
// Why objects and no array by target id: an id means nothing in the next table, and of 100,000 sandboxes few have requests.
import type { Activity, Busy } from "../../feed/messages.ts";
import type { CompiledTable } from "../../routing/compiled-table.ts";

/** Names in one report. More are told in the next. */
const USED_MAX = 10_000;
/** Between two reports of what was used: a little less than the ten seconds after which they are asked for. */
const USED_MS = 9_500;

/** Requests of one sandbox to one port of a service, as long as it has the same endpoints. */
export class SandboxUse {
  readonly sandbox: string;
  readonly key: string;
  readonly service: string;
  readonly port: string;
  /** As the table has them, in order. */
  readonly endpoints: string;
  /** A request has been seen since the last report. */
  noted = false;
  /** Exchanges that are running. */
  active = 0;

  constructor(sandbox: string, key: string, service: string, port: string, endpoints: string) {
    this.sandbox = sandbox;
    this.key = key;
    this.service = service;
    this.port = port;
    this.endpoints = endpoints;
  }
}

/** Of whatever is no sandbox's: exchanges count it up and down, and nobody looks. */
export const NO_USE = new SandboxUse("", "", "", "", "");
NO_USE.noted = true;

/** The sandboxes in use in this process. */
export class SandboxUses {
  #uses = new Map<string, SandboxUse>();
  /** With `noted`, in the order in which they were used first. */
  #noted: SandboxUse[] = [];
  /** Sandboxes that were noted with an earlier table. */
  readonly #notedBefore = new Set<string>();
  /** Of sandboxes that are gone from the table or have lost endpoints, with exchanges that still run. */
  #leaving = new Set<SandboxUse>();
  #reportedMs = Number.NEGATIVE_INFINITY;

  /** What a route counts: the same object as long as sandbox and endpoints stay what they are. @param set a sandbox's. */
  of(table: CompiledTable, set: number, servicePort: number, service: string): SandboxUse {
    const owner = table.setOwnerTarget(set);
    const sandbox = table.targetName(owner);
    const port = table.portName(servicePort);
    const endpoints = table.endpoints(set).join(" ");
    const asked = new SandboxUse(sandbox, table.targetKey(owner), service, port, endpoints);
    const id = idOf(asked);
    const known = this.#uses.get(id);
    if (known !== undefined) return known;
    this.#uses.set(id, asked);
    return asked;
  }

  /** A request is sent to the sandbox, the first since the last report. */
  note(use: SandboxUse): void {
    use.noted = true;
    this.#noted.push(use);
  }

  /** There is a new table: routes of the old one are not used any more, but exchanges that began with it may run on. */
  noteTable(table: CompiledTable): void {
    const running = new Map<string, SandboxUse>();
    const leaving = new Set<SandboxUse>();
    for (const [id, use] of this.#uses) {
      if (use.active === 0) continue;
      if (isIn(table, use)) running.set(id, use);
      else leaving.add(use);
    }
    for (const use of this.#leaving) {
      if (use.active === 0) continue;
      if (!isIn(table, use)) {
        leaving.add(use);
        continue;
      }
      // It has come back as it was; where another has been made for it meanwhile, each goes on counting its own.
      let id = idOf(use);
      while (running.has(id)) id += "\n";
      running.set(id, use);
    }
    this.#uses = running;
    this.#leaving = leaving;
    const kept = new Set(running.values());
    for (const use of this.#noted) if (!kept.has(use)) this.#notedBefore.add(use.sandbox);
    this.#noted = this.#noted.filter((use) => kept.has(use));
  }

  /** Exchanges that still run for sandboxes that are gone, or at endpoints that they have lost; by name. */
  busy(): readonly Busy[] {
    const exchanges = new Map<string, number>();
    for (const use of this.#leaving) {
      if (use.active === 0) this.#leaving.delete(use);
      else exchanges.set(use.sandbox, (exchanges.get(use.sandbox) ?? 0) + use.active);
    }
    return [...exchanges]
      .map(([sandbox, count]) => ({ sandbox, exchanges: count }))
      .toSorted((a, b) => (a.sandbox < b.sandbox ? -1 : 1));
  }

  /** What is to be reported now. `used` is told about every 10 s, and once. */
  activity(nowMs: number): Activity {
    const busy = this.busy();
    const nothing = this.#noted.length + this.#notedBefore.size === 0;
    if (nothing || nowMs - this.#reportedMs < USED_MS) return { used: [], busy };
    this.#reportedMs = nowMs;
    const used = new Set<string>();
    for (const name of this.#notedBefore) {
      if (used.size === USED_MAX) break;
      this.#notedBefore.delete(name);
      used.add(name);
    }
    for (const use of this.#noted.splice(0, USED_MAX - used.size)) {
      use.noted = false;
      used.add(use.sandbox);
    }
    return { used: [...used], busy };
  }
}

function idOf({ sandbox, service, port, endpoints }: SandboxUse): string {
  return [sandbox, service, port, endpoints].join("\n");
}

/** Whether the table has the sandbox with these endpoints. */
function isIn(table: CompiledTable, { sandbox, key, service, port, endpoints }: SandboxUse): boolean {
  const bytes = new TextEncoder().encode(key);
  const target = table.findTarget(bytes, 0, bytes.length);
  const id = table.serviceByName(service);
  if (target === -1 || id === -1) return false;
  const servicePort = table.servicePortByName(id, port);
  const set = servicePort === -1 ? -1 : table.overrideSet(target, servicePort);
  return set !== -1 && table.setOwner(set) === sandbox && table.endpoints(set).join(" ") === endpoints;
}
