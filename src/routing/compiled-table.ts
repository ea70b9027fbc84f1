import { ByteIndex } from "./byte-index.ts";
import { allocateImage, at, viewImage } from "./table-image.ts";
import type { TableImage, TableSections, TableSizes } from "./table-image.ts";

export type { TableImage } from "./table-image.ts";

const DESCRIBED_MAX = 1000;
const DOT = 0x2e;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** What `GET /table` shows of a table: at most `DESCRIBED_MAX` entries of each kind. */
export interface TableDescription {
  readonly version: number;
  readonly digest: string;
  readonly counts: TableCounts;
  /** Whether a kind has more entries than are listed. */
  readonly truncated: boolean;
  readonly services: Readonly<Record<string, ServiceDescription>>;
  readonly sandboxes: Readonly<Record<string, SandboxDescription>>;
  readonly groups: Readonly<Record<string, GroupDescription>>;
}

/** One service: its hosts, its ports with number (0: the only one, unnamed) and baseline endpoints (empty: none declared). */
export interface ServiceDescription {
  readonly hosts: readonly string[];
  readonly ports: readonly { readonly name: string; readonly number: number; readonly baseline: readonly string[] }[];
}

/** One sandbox: its key and the endpoints of each changed service (`service` or `service/port`). */
export interface SandboxDescription {
  readonly key: string;
  /** None of its services may be answered for by the baseline. */
  readonly strict: boolean;
  readonly services: Readonly<Record<string, readonly string[]>>;
}

/** One route group: its key and its sandboxes in order. */
export interface GroupDescription {
  readonly key: string;
  readonly sandboxes: readonly string[];
}

/** How many of each a table has. */
export interface TableCounts {
  readonly services: number;
  readonly sandboxes: number;
  readonly groups: number;
  readonly endpoints: number;
}

/**
 * A table, compiled for lookup; immutable. Guarantees:
 * - constructing one costs the same at any size: it only lays views over the image;
 * - `findTarget` and `findService` create nothing and cost the same at 10 and 100,000 sandboxes;
 * - ids (service, service port, target, set) are only meaningful together with the table that gave them.
 */
export class CompiledTable {
  /** Counts the tables of this process: 1, 2, 3; 0 is the empty table. */
  readonly version: number;
  /** First 12 hex digits of the SHA-256 of the file: the same on every sidecar that has the same table. */
  readonly digest: string;
  /** Sandboxes and groups: a target is whatever a key selects. */
  readonly targetCount: number;

  readonly #sizes: TableSizes;
  readonly #sections: TableSections;
  readonly #pool: Buffer;
  readonly #targets: ByteIndex;
  readonly #hosts: ByteIndex;
  readonly #services: ByteIndex;

  constructor(image: TableImage, version: number, digest: string) {
    const { header, sections, pool } = viewImage(image);
    this.version = version;
    this.digest = digest;
    this.targetCount = header.sandboxes + header.groups;
    this.#sizes = header;
    this.#sections = sections;
    this.#pool = Buffer.from(pool.buffer, pool.byteOffset, pool.byteLength);
    const { seed } = header;
    this.#targets = new ByteIndex(sections.targetSlots, sections.keyText, pool, seed, header.keyBytesMax, false);
    this.#hosts = new ByteIndex(sections.hostSlots, sections.hostText, pool, seed, header.hostBytesMax, true);
    this.#services = new ByteIndex(
      sections.serviceSlots,
      sections.serviceText,
      pool,
      seed,
      header.serviceBytesMax,
      false,
    );
  }

  /** The target whose routing key is exactly `bytes[start, end)`, or -1. */
  findTarget(bytes: Uint8Array, start: number, end: number): number {
    return this.#targets.find(bytes, start, end);
  }

  /**
   * The service that claims the host `bytes[start, end)` (no port), or -1. ASCII case does not matter, nor does one final dot
   * (the DNS root), nor whether an IPv6 address stands in brackets.
   */
  findService(bytes: Uint8Array, start: number, end: number): number {
    if (end - start > 1) {
      if (bytes[end - 1] === DOT) end--;
      else if (bytes[start] === OPEN_BRACKET && bytes[end - 1] === CLOSE_BRACKET) {
        start++;
        end--;
      }
    }
    const host = this.#hosts.find(bytes, start, end);
    return host === -1 ? -1 : at(this.#sections.hostService, host);
  }

  /** The service of that name, or -1 when the table does not know it. Allocates. */
  serviceByName(name: string): number {
    const bytes = Buffer.from(name);
    return this.#services.find(bytes, 0, bytes.length);
  }

  /**
   * The service port for the port number of an authority. A service with one port takes any number: it is told apart by name
   * alone. -1: the service has several ports and none has this number.
   */
  servicePort(service: number, port: number): number {
    const first = at(this.#sections.servicePortStart, service);
    const end = at(this.#sections.servicePortStart, service + 1);
    if (end - first === 1) return first;
    for (let id = first; id < end; id++) if (this.#sections.portNumber[id] === port) return id;
    return -1;
  }

  /**
   * The service port of that name; "" is the only port. A service whose only port has no name takes any name. -1: there is no
   * such port, or "" and there are several.
   */
  servicePortByName(service: number, name: string): number {
    const first = at(this.#sections.servicePortStart, service);
    const end = at(this.#sections.servicePortStart, service + 1);
    if (end - first === 1 && (name === "" || this.portName(first) === "")) return first;
    for (let id = first; id < end; id++) if (this.portName(id) === name) return id;
    return -1;
  }

  /** Names of the ports of a service, in the order of their ids; [""] for a service with one unnamed port. */
  portNames(service: number): readonly string[] {
    const first = at(this.#sections.servicePortStart, service);
    const end = at(this.#sections.servicePortStart, service + 1);
    return Array.from({ length: end - first }, (_, index) => this.portName(first + index));
  }

  /** Hosts that stand for a service, as they are compared: small letters, no final dot. */
  hosts(service: number): readonly string[] {
    const first = at(this.#sections.serviceHostStart, service);
    const end = at(this.#sections.serviceHostStart, service + 1);
    return Array.from({ length: end - first }, (_, index) => this.#text(this.#sections.hostText, first + index));
  }

  /** Name of a service port, "" when the service has one and did not name it. */
  portName(servicePort: number): string {
    return this.#text(this.#sections.portText, servicePort);
  }

  /** Number of a service port in an authority, 0 when any number will do. */
  portNumber(servicePort: number): number {
    return at(this.#sections.portNumber, servicePort);
  }

  /** The baseline's endpoint set, or -1 when the table declares none. */
  baselineSet(servicePort: number): number {
    return at(this.#sections.portBaseline, servicePort);
  }

  /** The endpoint set of the sandbox, or for a group of its first member that has the service; -1: none has it. */
  overrideSet(target: number, servicePort: number): number {
    const group = target - this.#sizes.sandboxes;
    if (group < 0) return this.#override(target, servicePort);
    const { memberStart, member } = this.#sections;
    const end = at(memberStart, group + 1);
    for (let index = at(memberStart, group); index < end; index++) {
      const set = this.#override(at(member, index), servicePort);
      if (set !== -1) return set;
    }
    return -1;
  }

  /** Whether the sandbox, or any sandbox of the group, is strict. */
  isStrict(target: number): boolean {
    const { strict, memberStart, member } = this.#sections;
    const group = target - this.#sizes.sandboxes;
    if (group < 0) return strict[target] === 1;
    const end = at(memberStart, group + 1);
    for (let index = at(memberStart, group); index < end; index++) {
      if (strict[at(member, index)] === 1) return true;
    }
    return false;
  }

  /** Whether the sandbox that answers for the service, for a group its first member that has it, is strict. */
  strictFor(target: number, service: number): boolean {
    const { servicePortStart, setOwner, strict } = this.#sections;
    // A sandbox has a service with all of its ports, so the first one tells.
    const set = this.overrideSet(target, at(servicePortStart, service));
    return set !== -1 && strict[at(setOwner, set)] === 1;
  }

  /** Name of the sandbox that owns an endpoint set, "" for a baseline set. */
  setOwner(set: number): string {
    const owner = at(this.#sections.setOwner, set);
    return owner === -1 ? "" : this.targetName(owner);
  }

  /** The sandbox that owns an endpoint set, -1 for a baseline set. */
  setOwnerTarget(set: number): number {
    return at(this.#sections.setOwner, set);
  }

  /** The endpoints of a set, `host:port` as written. Allocates: called once per route, not per request. */
  endpoints(set: number): readonly string[] {
    const first = at(this.#sections.setStart, set);
    const end = at(this.#sections.setStart, set + 1);
    return Array.from({ length: end - first }, (_, index) => this.#text(this.#sections.endpointText, first + index));
  }

  /** Name of the sandbox or group. */
  targetName(target: number): string {
    return this.#text(this.#sections.targetText, target);
  }

  /** The routing key that selects the sandbox or group. */
  targetKey(target: number): string {
    return this.#text(this.#sections.keyText, target);
  }

  /** Names of the sandboxes of a group in order; undefined when the target is a sandbox itself. */
  groupMembers(target: number): readonly string[] | undefined {
    const group = target - this.#sizes.sandboxes;
    if (group < 0) return undefined;
    const first = at(this.#sections.memberStart, group);
    const end = at(this.#sections.memberStart, group + 1);
    return Array.from({ length: end - first }, (_, index) => this.targetName(at(this.#sections.member, first + index)));
  }

  /** Name of a service. */
  serviceName(service: number): string {
    return this.#text(this.#sections.serviceText, service);
  }

  /** How many of each the table has. */
  get counts(): TableCounts {
    const { services, sandboxes, groups, endpoints } = this.#sizes;
    return { services, sandboxes, groups, endpoints };
  }

  /** The table as plain data, capped: see `TableDescription`. */
  describe(): TableDescription {
    const { services, sandboxes, groups } = this.#sizes;
    return {
      version: this.version,
      digest: this.digest,
      counts: this.counts,
      truncated: Math.max(services, sandboxes, groups) > DESCRIBED_MAX,
      services: fromIds(0, services, (id) => [this.serviceName(id), this.#describeService(id)]),
      sandboxes: fromIds(0, sandboxes, (id) => [this.targetName(id), this.#describeSandbox(id)]),
      groups: fromIds(sandboxes, groups, (id) => [
        this.targetName(id),
        { key: this.targetKey(id), sandboxes: this.groupMembers(id) ?? [] },
      ]),
    };
  }

  #describeService(service: number): ServiceDescription {
    const first = at(this.#sections.servicePortStart, service);
    const ports = this.portNames(service).map((name, index) => {
      const set = this.baselineSet(first + index);
      return { name, number: this.portNumber(first + index), baseline: set === -1 ? [] : this.endpoints(set) };
    });
    return { hosts: this.hosts(service), ports };
  }

  #describeSandbox(sandbox: number): SandboxDescription {
    const first = at(this.#sections.overrideStart, sandbox);
    const count = at(this.#sections.overrideStart, sandbox + 1) - first;
    const services = fromIds(first, count, (index) => {
      const port = at(this.#sections.overridePort, index);
      const service = this.serviceName(at(this.#sections.portService, port));
      const name = this.portName(port) === "" ? service : `${service}/${this.portName(port)}`;
      return [name, this.endpoints(at(this.#sections.overrideSet, index))];
    });
    return { key: this.targetKey(sandbox), strict: this.isStrict(sandbox), services };
  }

  /** Binary search in the sandbox's own slice, which is sorted by service port: a sandbox changes few services. */
  #override(sandbox: number, servicePort: number): number {
    const { overrideStart, overridePort, overrideSet } = this.#sections;
    let low = at(overrideStart, sandbox);
    let high = at(overrideStart, sandbox + 1) - 1;
    while (low <= high) {
      const middle = (low + high) >>> 1;
      const found = at(overridePort, middle);
      if (found === servicePort) return at(overrideSet, middle);
      if (found < servicePort) low = middle + 1;
      else high = middle - 1;
    }
    return -1;
  }

  #text(texts: Int32Array, entry: number): string {
    const start = at(texts, 2 * entry);
    return this.#pool.toString("utf8", start, start + at(texts, 2 * entry + 1));
  }
}

function fromIds<T>(first: number, count: number, describe: (id: number) => [string, T]): Record<string, T> {
  return Object.fromEntries(
    Array.from({ length: Math.min(count, DESCRIBED_MAX) }, (_, index) => describe(first + index)),
  );
}

/** The table before the first one is read: knows nothing, so that every decision falls to the listener's own target. */
export const emptyTable: CompiledTable = new CompiledTable(
  allocateImage({
    services: 0,
    servicePorts: 0,
    hosts: 0,
    sandboxes: 0,
    groups: 0,
    members: 0,
    overrides: 0,
    sets: 0,
    endpoints: 0,
    poolBytes: 0,
    keyBytesMax: 0,
    hostBytesMax: 0,
    serviceBytesMax: 0,
    seed: { low: 0, high: 0 },
  }),
  0,
  "",
);
