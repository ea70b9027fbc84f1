// What one resource says about the others, asked before it is written. The whole table is valid, so only those parts of it are looked
// at that the change can contradict: they make a small table, and src/routing/validate.ts says what is wrong with that. So a
// write costs a look through the names and keys, and not a validation of 10,000 sandboxes.

import { groupDocument, sandboxDocument, serviceDocument } from "../feed/convert.ts";
import type { FeedSandbox } from "../feed/messages.ts";
import { canonicalHost, entry, hostsOf } from "../routing/document.ts";
import type { GroupDocument, SandboxDocument, ServiceDocument, TableDocument } from "../routing/document.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { nearest } from "../routing/nearest.ts";
import { validate } from "../routing/validate.ts";
import { isMember } from "./members.ts";
import type { Kind } from "./resource.ts";
import { pointerTo, PROBLEMS_MAX } from "./resources/spec-shape.ts";
import type { FieldProblem } from "./resources/spec-shape.ts";
import type { ControlState } from "./state.ts";
import type { DraftResource } from "./writer.ts";

/** What is wrong with a change, and what is merely odd: sentences. */
export interface ChangeFindings {
  readonly problems: readonly FieldProblem[];
  readonly warnings: readonly string[];
}

/** Checks a resource as it would be against everything that is known. */
export function checkChange(state: ControlState, draft: DraftResource): ChangeFindings {
  const problems: FieldProblem[] = [];
  const warnings: string[] = [];
  for (const document of relatedDocuments(state, draft)) {
    const found = validate(document);
    for (const finding of found.problems) problems.push(toProblem(state, draft, finding));
    for (const finding of found.warnings) {
      if (isOwn(draft, finding.place.path)) warnings.push(sentence(finding));
    }
  }
  return { problems: problems.slice(0, PROBLEMS_MAX), warnings: warnings.slice(0, PROBLEMS_MAX) };
}

/** Members of a group with labels that are compared with each other. */
const MATCHED_MAX = 200;

const sections = { service: "services", sandbox: "sandboxes", group: "groups" } as const satisfies Record<Kind, string>;

/** Names that people choose are looked up here, so nothing is inherited: a service may be called `constructor`. */
class Subset implements TableDocument {
  readonly services = Object.create(null) as Record<string, ServiceDocument>;
  readonly sandboxes = Object.create(null) as Record<string, SandboxDocument>;
  readonly groups = Object.create(null) as Record<string, GroupDocument>;
}

function relatedDocuments(state: ControlState, draft: DraftResource): readonly TableDocument[] {
  switch (draft.kind) {
    case "service":
      return serviceSubsets(state, draft);
    case "sandbox":
      return [sandboxSubset(state, draft)];
    case "group":
      return [groupSubset(state, draft)];
  }
}

type Draft<K extends Kind> = Extract<DraftResource, { readonly kind: K }>;

/** A service: whoever claims one of its hosts, and, where its ports have changed, all sandboxes that have it. */
function serviceSubsets(state: ControlState, { name, spec }: Draft<"service">): readonly TableDocument[] {
  const subset = new Subset();
  // A developer's machine answers for the time being; what it stands in for has to fit as well.
  const connected = new Subset();
  const { services, sandboxes } = state.table;
  const { hosts, ports, baseline } = spec;
  const own: ServiceDocument = { hosts, ports, baseline };
  const known = state.find("service", name);
  const samePorts = known !== undefined && JSON.stringify(known.spec.ports) === JSON.stringify(ports);
  const claimed = new Set(hostsOf(name, own));
  for (const other of services.values()) {
    if (other.name === name) continue;
    const document = serviceDocument(other);
    if (hostsOf(other.name, document).some((host) => claimed.has(host))) subset.services[other.name] = document;
  }
  for (const sandbox of sandboxes.values()) {
    for (const { service } of sandbox.services) {
      const concerns = service === name ? !samePorts : !services.has(service) && claimed.has(canonicalHost(service));
      if (!concerns) continue;
      const declared = state.find("sandbox", sandbox.name)?.spec;
      const stored = entry(declared?.services ?? {}, service);
      const machine = entry(declared?.connected ?? {}, service)?.endpoints;
      if (stored !== undefined)
        add(subset, sandbox, { ...subset.sandboxes[sandbox.name]?.services, [service]: stored });
      if (machine !== undefined) {
        add(connected, sandbox, { ...connected.sandboxes[sandbox.name]?.services, [service]: machine });
      }
    }
  }
  subset.services[name] = own;
  connected.services[name] = own;
  return Object.keys(connected.sandboxes).length === 0 ? [subset] : [subset, connected];
}

function add(subset: Subset, { name, key }: FeedSandbox, services: SandboxDocument["services"]): void {
  subset.sandboxes[name] = { ...(key === "" ? {} : { key }), services };
}

/** A sandbox: its services, whoever has its key or its name, and whoever claims the hosts of services that nobody declared. */
function sandboxSubset(state: ControlState, { name, spec }: Draft<"sandbox">): TableDocument {
  const subset = new Subset();
  const { services } = state.table;
  const undeclared = new Set<string>();
  for (const service of Object.keys(spec.services)) {
    const declared = services.get(service);
    if (declared === undefined) undeclared.add(canonicalHost(service));
    else subset.services[service] = serviceDocument(declared);
  }
  if (undeclared.size > 0) addClaimants(state, subset, name, undeclared);
  addRivals(state, subset, "sandbox", name, spec.key ?? name);
  const { key, strict } = spec;
  subset.sandboxes[name] = { key, strict, services: spec.services };
  return subset;
}

/** Undeclared services claim their names as hosts: whoever has these already, in whatever spelling. */
function addClaimants(state: ControlState, subset: Subset, name: string, hosts: ReadonlySet<string>): void {
  const { services, sandboxes } = state.table;
  for (const service of services.values()) {
    const document = serviceDocument(service);
    if (hostsOf(service.name, document).some((host) => hosts.has(host))) subset.services[service.name] = document;
  }
  const found = new Set<string>();
  for (const sandbox of sandboxes.values()) {
    if (sandbox.name === name) continue;
    for (const { service } of sandbox.services) {
      if (found.has(service) || services.has(service) || !hosts.has(canonicalHost(service))) continue;
      found.add(service);
      const endpoints = entry(sandboxDocument(sandbox).services, service);
      if (endpoints !== undefined) {
        add(subset, sandbox, { ...subset.sandboxes[sandbox.name]?.services, [service]: endpoints });
      }
    }
  }
}

function groupSubset(state: ControlState, draft: Draft<"group">): TableDocument {
  const subset = new Subset();
  const { name, spec } = draft;
  const { sandboxes } = state.table;
  const listed = spec.sandboxes ?? [];
  const members = membersOf(state, draft);
  // Those that labels find exist, and there is nothing to say about them but that two change one service.
  const looked = spec.sandboxes === undefined ? members.slice(0, MATCHED_MAX) : members;
  for (const member of looked) addMember(state, subset, member);
  for (const member of listed) {
    if (sandboxes.has(member)) continue;
    const other = state.table.groups.get(member);
    if (other !== undefined) subset.groups[member] = { ...groupDocument(other), sandboxes: [] };
    const guess = nearest(member, sandboxes.keys());
    if (guess !== undefined) addMember(state, subset, guess);
  }
  addRivals(state, subset, "group", name, spec.key ?? name);
  subset.groups[name] = { key: spec.key, sandboxes: spec.sandboxes ?? looked };
  return subset;
}

function membersOf(state: ControlState, draft: Draft<"group">): readonly string[] {
  const { sandboxes } = draft.spec;
  if (sandboxes !== undefined) return sandboxes.filter((member) => state.table.sandboxes.has(member));
  const group = { ...draft, meta: { version: 0, createdAt: "", updatedAt: "", createdBy: "", updatedBy: "" } };
  const names = [...state.table.sandboxes.keys()];
  return names.filter((member) => isMember(group, state.find("sandbox", member))).toSorted();
}

/** Sandboxes that are there only for what others say about them: their own services were judged when they were written. */
function addMember(state: ControlState, subset: Subset, name: string): void {
  const sandbox = state.table.sandboxes.get(name);
  if (sandbox === undefined) return;
  subset.sandboxes[name] = sandboxDocument(sandbox);
  for (const { service } of sandbox.services) {
    const declared = state.table.services.get(service);
    if (declared !== undefined) subset.services[service] ??= serviceDocument(declared);
  }
}

/** Whoever has the key, or the name in the other kind. A group comes without members, which are none of this matter. */
function addRivals(state: ControlState, subset: Subset, kind: Kind, name: string, key: string): void {
  for (const sandbox of state.table.sandboxes.values()) {
    const isSelf = kind === "sandbox" && sandbox.name === name;
    if (isSelf || ((sandbox.key || sandbox.name) !== key && sandbox.name !== name)) continue;
    addMember(state, subset, sandbox.name);
  }
  for (const group of state.table.groups.values()) {
    const isSelf = kind === "group" && group.name === name;
    if (isSelf || ((group.key || group.name) !== key && group.name !== name)) continue;
    subset.groups[group.name] ??= { ...groupDocument(group), sandboxes: [] };
  }
}

function isOwn({ kind, name }: DraftResource, path: Path): boolean {
  return path[0] === sections[kind] && path[1] === name;
}

function toProblem(state: ControlState, draft: DraftResource, finding: Finding): FieldProblem {
  const { place, other, hint } = finding;
  const own = [place, other].find((one) => one !== undefined && isOwn(draft, one.path));
  const foreign = [place, other].find((one) => one !== undefined && !isOwn(draft, one.path));
  // What was perhaps meant is nobody's doing.
  const whose = foreign === undefined || finding.why === "there is no such sandbox" ? "" : madeBy(state, foreign.path);
  // A name is not in what the pointer leads into; it is beside it.
  const inside = own?.path.slice(2) ?? [];
  return {
    pointer: inside.length === 0 && own?.part === "name" ? "/name" : pointerTo(inside),
    message: whose === "" ? sentence(finding) : `${sentence(finding)} (${whose})`,
    ...(hint === undefined ? {} : { hint }),
  };
}

function sentence({ message, why }: Finding): string {
  return why === undefined ? message : `${message}, ${why}`;
}

/** Whom to talk to about another resource. */
function madeBy(state: ControlState, [section, name]: Path): string {
  const kind = (Object.keys(sections) as Kind[]).find((one) => sections[one] === section);
  if (kind === undefined) return "";
  const resource = state.find(kind, String(name));
  if (resource === undefined) return "";
  const { meta, spec } = resource;
  const owner = spec.owner === "" ? "" : `, owner ${spec.owner}`;
  return `${kind} ${resource.name} was made by ${meta.createdBy} at ${meta.createdAt}${owner}`;
}
