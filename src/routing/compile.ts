import { assert } from "../base/assert.ts";
import { ByteIndex } from "./byte-index.ts";
import type { HashSeed } from "./byte-hash.ts";
import { endpointsByPort, entry, hostsOf, portsOf } from "./document.ts";
import type { EndpointsDocument, TableDocument } from "./document.ts";
import { allocateImage, viewImage } from "./table-image.ts";
import type { TableImage } from "./table-image.ts";

/**
 * Compiles a document that `validate` found nothing wrong with. Needs time and memory in proportion to the document and
 * runs in a process of its own. `seed` keys the hash tables: fresh random bits for every table, so that nobody
 * can prepare names that collide.
 */
export function compile(document: TableDocument, seed: HashSeed): TableImage {
  const parts = new Parts();
  const serviceIds = addServices(parts, document);
  addSandboxes(parts, document, serviceIds);
  addGroups(parts, document);
  return parts.toImage(seed);
}

/** Names of all services: the declared ones, then those that only sandboxes mention, in the order of the file. */
export function serviceNames(document: TableDocument): readonly string[] {
  const names = new Set(Object.keys(document.services));
  for (const sandbox of Object.values(document.sandboxes)) {
    for (const name of Object.keys(sandbox.services)) names.add(name);
  }
  return [...names];
}

function addServices(parts: Parts, document: TableDocument): ReadonlyMap<string, ServicePorts> {
  const ids = new Map<string, ServicePorts>();
  for (const name of serviceNames(document)) {
    const service = entry(document.services, name);
    const id = parts.serviceText.push(name);
    parts.servicePortStart.push(parts.portNumber.length);
    parts.serviceHostStart.push(parts.hostService.length);
    for (const host of hostsOf(name, service)) {
      parts.hostText.push(host);
      parts.hostService.push(id);
    }
    const ports = portsOf(service);
    const portIds = new Map<string, number>();
    for (const [port, number] of Object.entries(ports)) {
      portIds.set(port, parts.portText.push(port));
      parts.portNumber.push(number);
      parts.portService.push(id);
      parts.portBaseline.push(-1);
    }
    const known = { ports, portIds };
    ids.set(name, known);
    if (service?.baseline !== undefined) {
      for (const [port, set] of addSets(parts, known, service.baseline, -1)) parts.portBaseline[port] = set;
    }
  }
  parts.servicePortStart.push(parts.portNumber.length);
  parts.serviceHostStart.push(parts.hostService.length);
  return ids;
}

function addSandboxes(parts: Parts, document: TableDocument, services: ReadonlyMap<string, ServicePorts>): void {
  for (const [name, sandbox] of Object.entries(document.sandboxes)) {
    const id = parts.addTarget(name, sandbox.key ?? name);
    parts.strict.push(sandbox.strict === true ? 1 : 0);
    parts.overrideStart.push(parts.overridePort.length);
    const overrides: (readonly [port: number, set: number])[] = [];
    for (const [serviceName, endpoints] of Object.entries(sandbox.services)) {
      const known = services.get(serviceName);
      assert(known !== undefined, "every service of a sandbox has an id");
      overrides.push(...addSets(parts, known, endpoints, id));
    }
    overrides.sort((a, b) => a[0] - b[0]); // looked up by binary search
    for (const [port, set] of overrides) {
      parts.overridePort.push(port);
      parts.overrideSet.push(set);
    }
  }
  parts.overrideStart.push(parts.overridePort.length);
}

function addGroups(parts: Parts, document: TableDocument): void {
  const sandboxIds = new Map(Object.keys(document.sandboxes).map((name, id) => [name, id]));
  for (const [name, group] of Object.entries(document.groups)) {
    parts.addTarget(name, group.key ?? name);
    parts.memberStart.push(parts.member.length);
    for (const member of group.sandboxes) {
      const id = sandboxIds.get(member);
      assert(id !== undefined, "every member of a group is a sandbox");
      parts.member.push(id);
    }
  }
  parts.memberStart.push(parts.member.length);
}

interface ServicePorts {
  readonly ports: Readonly<Record<string, number>>;
  readonly portIds: ReadonlyMap<string, number>;
}

/** Adds one endpoint set per port, owned by a sandbox or by the baseline (-1). */
function addSets(
  parts: Parts,
  service: ServicePorts,
  endpoints: EndpointsDocument,
  owner: number,
): (readonly [port: number, set: number])[] {
  return endpointsByPort(service.ports, endpoints).map(([portName, list]) => {
    const port = service.portIds.get(portName);
    assert(port !== undefined, "endpoints belong to ports that the service has");
    parts.setStart.push(parts.endpointText.count);
    for (const endpoint of list) parts.endpointText.push(endpoint);
    return [port, parts.setOwner.push(owner) - 1];
  });
}

/** The sections of an image while they grow. */
class Parts {
  readonly pool = new StringPool();
  readonly serviceText = new Texts(this.pool);
  readonly servicePortStart: number[] = [];
  readonly serviceHostStart: number[] = [];
  readonly hostText = new Texts(this.pool);
  readonly hostService: number[] = [];
  readonly portText = new Texts(this.pool);
  readonly portNumber: number[] = [];
  readonly portService: number[] = [];
  readonly portBaseline: number[] = [];
  readonly targetText = new Texts(this.pool);
  readonly keyText = new Texts(this.pool);
  readonly strict: number[] = [];
  readonly overrideStart: number[] = [];
  readonly overridePort: number[] = [];
  readonly overrideSet: number[] = [];
  readonly memberStart: number[] = [];
  readonly member: number[] = [];
  readonly setOwner: number[] = [];
  readonly setStart: number[] = [];
  readonly endpointText = new Texts(this.pool);

  addTarget(name: string, key: string): number {
    const id = this.targetText.push(name);
    if (key === name) this.keyText.repeat(this.targetText);
    else this.keyText.push(key);
    return id;
  }

  toImage(seed: HashSeed): TableImage {
    this.setStart.push(this.endpointText.count);
    const image = allocateImage({
      services: this.serviceText.count,
      servicePorts: this.portNumber.length,
      hosts: this.hostText.count,
      sandboxes: this.overrideStart.length - 1,
      groups: this.memberStart.length - 1,
      members: this.member.length,
      overrides: this.overridePort.length,
      sets: this.setOwner.length,
      endpoints: this.endpointText.count,
      poolBytes: this.pool.length,
      keyBytesMax: this.keyText.bytesMax,
      hostBytesMax: this.hostText.bytesMax,
      serviceBytesMax: this.serviceText.bytesMax,
      seed,
    });
    const { header, sections, pool } = viewImage(image);
    pool.set(this.pool.bytes);
    sections.serviceText.set(this.serviceText.words);
    sections.servicePortStart.set(this.servicePortStart);
    sections.serviceHostStart.set(this.serviceHostStart);
    sections.hostText.set(this.hostText.words);
    sections.hostService.set(this.hostService);
    sections.portText.set(this.portText.words);
    sections.portNumber.set(this.portNumber);
    sections.portService.set(this.portService);
    sections.portBaseline.set(this.portBaseline);
    sections.targetText.set(this.targetText.words);
    sections.keyText.set(this.keyText.words);
    sections.strict.set(this.strict);
    sections.overrideStart.set(this.overrideStart);
    sections.overridePort.set(this.overridePort);
    sections.overrideSet.set(this.overrideSet);
    sections.memberStart.set(this.memberStart);
    sections.member.set(this.member);
    sections.setOwner.set(this.setOwner);
    sections.setStart.set(this.setStart);
    sections.endpointText.set(this.endpointText.words);
    const { targetSlots, keyText, hostSlots, hostText, serviceSlots, serviceText } = sections;
    fill(new ByteIndex(targetSlots, keyText, pool, seed, header.keyBytesMax, false), this.keyText.count);
    fill(new ByteIndex(hostSlots, hostText, pool, seed, header.hostBytesMax, true), this.hostText.count);
    fill(new ByteIndex(serviceSlots, serviceText, pool, seed, header.serviceBytesMax, false), this.serviceText.count);
    return image;
  }
}

function fill(index: ByteIndex, entries: number): void {
  for (let entry = 0; entry < entries; entry++) index.insert(entry);
}

/** (offset, length) pairs of strings in the pool. */
class Texts {
  readonly words: number[] = [];
  readonly #pool: StringPool;
  bytesMax = 0;

  constructor(pool: StringPool) {
    this.#pool = pool;
  }

  get count(): number {
    return this.words.length / 2;
  }

  /** Adds a string and returns its id. */
  push(text: string): number {
    const offset = this.#pool.length;
    const length = this.#pool.add(text);
    return this.#append(offset, length);
  }

  /** Adds the string that `other` added last, without a second copy. */
  repeat(other: Texts): void {
    const [offset, length] = other.words.slice(-2);
    assert(offset !== undefined && length !== undefined, "there is a string to repeat");
    this.#append(offset, length);
  }

  #append(offset: number, length: number): number {
    this.words.push(offset, length);
    this.bytesMax = Math.max(this.bytesMax, length);
    return this.count - 1;
  }
}

/** UTF-8 bytes that grow by doubling. */
class StringPool {
  #bytes = Buffer.alloc(4096);
  length = 0;

  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  /** Appends a string and returns its length in bytes. */
  add(text: string): number {
    const room = this.length + text.length * 3; // UTF-8 needs at most three bytes per UTF-16 unit
    if (room > this.#bytes.length) {
      const grown = Buffer.alloc(Math.max(room, this.#bytes.length * 2));
      this.#bytes.copy(grown, 0, 0, this.length);
      this.#bytes = grown;
    }
    const written = this.#bytes.write(text, this.length, "utf8");
    this.length += written;
    return written;
  }
}
