import { assert } from "../base/assert.ts";
import { CompiledTable } from "./compiled-table.ts";
import { serviceNames } from "./compile.ts";
import { endpointsByPort, entry, hostsOf, portsOf } from "./document.ts";
import type { EndpointsDocument, TableDocument } from "./document.ts";
import type { TableImage } from "./table-image.ts";

/**
 * Looks everything that the document says up in the compiled table, by the same calls as the request path, so that a broken
 * image is never published. Throws an `AssertionError`: a document cannot cause this, only a bug can. Costs about as much
 * as compiling.
 */
export function selfCheck(document: TableDocument, image: TableImage): void {
  const table = new CompiledTable(image, 0, "");
  const names = serviceNames(document);
  assert(table.counts.services === names.length, "self-check: number of services");
  for (const name of names) checkService(table, document, name);

  const sandboxes = Object.entries(document.sandboxes);
  const groups = Object.entries(document.groups);
  assert(table.targetCount === sandboxes.length + groups.length, "self-check: number of sandboxes and groups");
  for (const [name, sandbox] of sandboxes) {
    const target = checkTarget(table, name, sandbox.key ?? name);
    assert(table.isStrict(target) === (sandbox.strict === true), `self-check: strict of sandbox ${name}`);
    for (const [service, endpoints] of Object.entries(sandbox.services)) {
      checkEndpoints(table, document, service, endpoints, name, (port) => table.overrideSet(target, port));
    }
  }
  for (const [name, group] of groups) {
    const target = checkTarget(table, name, group.key ?? name);
    assert(same(table.groupMembers(target) ?? [], group.sandboxes), `self-check: sandboxes of group ${name}`);
  }
}

function checkService(table: CompiledTable, document: TableDocument, name: string): void {
  const id = table.serviceByName(name);
  assert(id !== -1 && table.serviceName(id) === name, `self-check: service ${name}`);
  const service = entry(document.services, name);
  for (const host of hostsOf(name, service)) {
    const bytes = Buffer.from(host.toUpperCase());
    assert(table.findService(bytes, 0, bytes.length) === id, `self-check: host ${host}`);
  }
  for (const [portName, number] of Object.entries(portsOf(service))) {
    const port = table.servicePortByName(id, portName);
    assert(port !== -1 && table.servicePort(id, number) === port, `self-check: port ${portName} of service ${name}`);
  }
  if (service?.baseline !== undefined) {
    checkEndpoints(table, document, name, service.baseline, "", (port) => table.baselineSet(port));
  }
}

function checkTarget(table: CompiledTable, name: string, key: string): number {
  const bytes = Buffer.from(key);
  const target = table.findTarget(bytes, 0, bytes.length);
  assert(target !== -1 && table.targetName(target) === name, `self-check: key ${key}`);
  return target;
}

function checkEndpoints(
  table: CompiledTable,
  document: TableDocument,
  service: string,
  endpoints: EndpointsDocument,
  owner: string,
  find: (servicePort: number) => number,
): void {
  const id = table.serviceByName(service);
  for (const [portName, list] of endpointsByPort(portsOf(entry(document.services, service)), endpoints)) {
    const set = find(table.servicePortByName(id, portName));
    assert(set !== -1 && table.setOwner(set) === owner, `self-check: ${service} of ${owner || "the baseline"}`);
    assert(same(table.endpoints(set), list), `self-check: endpoints of ${service} of ${owner || "the baseline"}`);
  }
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value, index) => value === b[index]);
}
