// What one part of a table says about another. Long because each rule says what is wrong, where the other place is, and what to
// write instead.

import { parseEndpoint, parseHost } from "./endpoint-name.ts";
import type { Malformed } from "./endpoint-name.ts";
import { canonicalHost, entry, isList, portsOf } from "./document.ts";
import type { EndpointsDocument, ServiceDocument, TableDocument } from "./document.ts";
import { nameAt, valueAt } from "./finding.ts";
import type { Finding, Path, Place } from "./finding.ts";
import { checkKey, checkName, checkTargetName, encodeKey } from "./names.ts";
import { nearest } from "./nearest.ts";

/** Findings listed before the rest is only counted: a generated file can be wrong in 100,000 places. */
export const FINDINGS_MAX = 100;

/** What is wrong with a table and what is merely odd. It can be compiled when `problems` is empty. */
export interface Validation {
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
  /** Further ones that are not listed. */
  readonly problemsMore: number;
  readonly warningsMore: number;
}

/** Checks what one part of a table says about another (DESIGN §3.3), and the spelling of everything in it. */
export function validate(document: TableDocument): Validation {
  const findings = new Findings();
  checkServices(findings, document);
  checkSandboxes(findings, document);
  checkGroups(findings, document);
  checkHosts(findings, document);
  checkKeys(findings, document);
  checkUndeclared(findings, document);
  return findings;
}

class Findings implements Validation {
  readonly problems: Finding[] = [];
  readonly warnings: Finding[] = [];
  problemsMore = 0;
  warningsMore = 0;

  problem(finding: Finding): void {
    if (this.problems.length < FINDINGS_MAX) this.problems.push(finding);
    else this.problemsMore++;
  }

  warning(finding: Finding): void {
    if (this.warnings.length < FINDINGS_MAX) this.warnings.push(finding);
    else this.warningsMore++;
  }

  malformed(place: Place, what: string, malformed: Malformed): void {
    this.problem({ place, message: what, why: malformed.problem, hint: malformed.hint });
  }
}

function checkServices(findings: Findings, document: TableDocument): void {
  for (const [name, service] of Object.entries(document.services)) {
    if (service.hosts?.length === 0) {
      findings.warning({
        place: nameAt("services", name, "hosts"),
        message: `service ${name} has no host`,
        why: "outbound requests cannot name it",
        hint: "leave `hosts` out to use its name",
      });
    }
    const malformed = checkName(name);
    if (malformed) findings.malformed(nameAt("services", name), `${quote(name)} is not a service name`, malformed);
    if (service.ports !== undefined) checkPorts(findings, name, service.ports);
    if (service.baseline !== undefined) {
      checkEndpoints(findings, document, name, service.baseline, "the baseline", ["services", name, "baseline"]);
    }
  }
}

function checkPorts(findings: Findings, service: string, ports: Readonly<Record<string, number>>): void {
  const path = ["services", service, "ports"];
  const byNumber = new Map<number, string>();
  for (const [port, number] of Object.entries(ports)) {
    const malformed = checkName(port);
    if (malformed) findings.malformed(nameAt(...path, port), `${quote(port)} is not a port name`, malformed);
    const first = byNumber.get(number);
    if (first === undefined) byNumber.set(number, port);
    else {
      findings.problem({
        place: valueAt(...path, port),
        other: valueAt(...path, first),
        message: `ports ${first} and ${port} of service ${service} have one number`,
        why: "ports are told apart by the number in the authority",
        hint: "write two different numbers",
      });
    }
  }
  if (byNumber.size === 0) {
    const hint = "name a port, or leave `ports` out for a service with one";
    findings.problem({ place: nameAt(...path), message: `service ${service} has an empty list of ports`, hint });
  }
}

function checkSandboxes(findings: Findings, document: TableDocument): void {
  for (const [name, sandbox] of Object.entries(document.sandboxes)) {
    const malformed = checkTargetName(name);
    if (malformed) findings.malformed(nameAt("sandboxes", name), `${quote(name)} is not a sandbox name`, malformed);
    const services = Object.entries(sandbox.services);
    for (const [service, endpoints] of services) {
      const path = ["sandboxes", name, "services", service];
      checkEndpoints(findings, document, service, endpoints, `sandbox ${name}`, path);
    }
    if (services.length === 0) {
      findings.warning({
        place: nameAt("sandboxes", name),
        message: `sandbox ${name} changes no service`,
        why: "all of its requests go to the baseline",
      });
    }
  }
}

function checkGroups(findings: Findings, document: TableDocument): void {
  for (const [name, group] of Object.entries(document.groups)) {
    const malformed = checkTargetName(name);
    if (malformed) findings.malformed(nameAt("groups", name), `${quote(name)} is not a group name`, malformed);
    if (Object.hasOwn(document.sandboxes, name)) {
      findings.problem({
        place: nameAt("groups", name),
        other: nameAt("sandboxes", name),
        message: `${name} is the name of a group and of a sandbox`,
        why: "a name stands for one of them",
        hint: `write ${name}-group`,
      });
    }
    if (group.sandboxes.length === 0) {
      findings.warning({
        place: nameAt("groups", name),
        message: `group ${name} holds no sandbox`,
        why: "all of its requests go to the baseline",
      });
    }
    checkMembers(findings, document, name, group.sandboxes);
  }
}

function checkMembers(findings: Findings, document: TableDocument, group: string, members: readonly string[]): void {
  const positions = new Map<string, number>();
  const firstWith = new Map<string, string>();
  for (const [index, member] of members.entries()) {
    const place = valueAt("groups", group, "sandboxes", index);
    const earlier = positions.get(member);
    if (earlier !== undefined) {
      findings.problem({
        place,
        other: valueAt("groups", group, "sandboxes", earlier),
        message: `group ${group} names sandbox ${member} twice`,
        hint: "remove one",
      });
      continue;
    }
    positions.set(member, index);
    const sandbox = entry(document.sandboxes, member);
    if (sandbox === undefined) {
      findings.problem(unknownMember(document, group, member, place));
      continue;
    }
    for (const service of Object.keys(sandbox.services)) {
      const winner = firstWith.get(service);
      if (winner === undefined) {
        firstWith.set(service, member);
        continue;
      }
      findings.warning({
        place,
        other: valueAt("groups", group, "sandboxes", positions.get(winner) ?? 0),
        message: `sandboxes ${winner} and ${member} of group ${group} both change service ${service}`,
        why: `the first one, ${winner}, wins`,
      });
    }
  }
}

function unknownMember(document: TableDocument, group: string, member: string, place: Place): Finding {
  if (Object.hasOwn(document.groups, member)) {
    return {
      place,
      other: nameAt("groups", member),
      message: `group ${group} names ${member}, which is a group`,
      why: "groups hold sandboxes only",
      hint: "list its sandboxes",
    };
  }
  const guess = nearest(member, Object.keys(document.sandboxes));
  return {
    place,
    message: `group ${group} names sandbox ${quote(member)}`,
    why: "there is no such sandbox",
    hint: guess === undefined ? "add it under sandboxes, or remove it here" : `write ${guess}`,
    ...(guess === undefined ? {} : { other: nameAt("sandboxes", guess) }),
  };
}

/** Checks that endpoints parse and are given for exactly the ports that the service has. `path` leads to them. */
function checkEndpoints(
  findings: Findings,
  document: TableDocument,
  name: string,
  endpoints: EndpointsDocument,
  owner: string,
  path: Path,
): void {
  const service = entry(document.services, name);
  const ports = Object.keys(portsOf(service));
  const portNames = new Set(ports);
  if (isList(endpoints)) {
    if (ports.length > 1) findings.problem(portsMissing(name, ports, owner, path));
    checkList(findings, endpoints, path);
    return;
  }
  const misspelt = new Set<string>();
  for (const [port, list] of Object.entries(endpoints)) {
    if (service?.ports === undefined) findings.problem(portsUndeclared(name, service, port, owner, path));
    else if (!portNames.has(port)) {
      const meant = nearest(port, ports);
      if (meant !== undefined) misspelt.add(meant);
      findings.problem(portUnknown(name, meant ?? ports.join(" or "), port, owner, path));
    }
    checkList(findings, list, [...path, port]);
  }
  for (const port of ports) {
    if (service?.ports === undefined || Object.hasOwn(endpoints, port) || misspelt.has(port)) continue;
    findings.problem({
      place: nameAt(...path),
      other: nameAt("services", name, "ports", port),
      message: `${owner} has service ${name} but not its port ${port}`,
      why: "requests to that port would silently go elsewhere",
      hint: `add ${port}: [host:port]`,
    });
  }
}

function portsMissing(service: string, ports: readonly string[], owner: string, path: Path): Finding {
  return {
    place: valueAt(...path),
    other: nameAt("services", service, "ports"),
    message: `${owner} gives one list of endpoints for service ${service}`,
    why: `the service has the ports ${ports.join(" and ")}`,
    hint: `write { ${ports.map((port) => `${port}: [host:port]`).join(", ")} }`,
  };
}

function portsUndeclared(
  name: string,
  service: ServiceDocument | undefined,
  port: string,
  owner: string,
  path: Path,
): Finding {
  const finding = {
    place: nameAt(...path, port),
    message: `${owner} names port ${quote(port)} of service ${name}`,
    why: service === undefined ? "the service is not declared" : "the service declares no ports",
    hint: `write a plain list [host:port], or declare the port under services.${name}.ports`,
  };
  return service === undefined ? finding : { ...finding, other: nameAt("services", name) };
}

function portUnknown(name: string, meant: string, port: string, owner: string, path: Path): Finding {
  return {
    place: nameAt(...path, port),
    other: nameAt("services", name, "ports"),
    message: `${owner} names port ${quote(port)} of service ${name}`,
    why: "there is no such port",
    hint: `write ${meant}`,
  };
}

function checkList(findings: Findings, endpoints: readonly string[], path: Path): void {
  const positions = new Map<string, number>();
  for (const [index, endpoint] of endpoints.entries()) {
    const parsed = parseEndpoint(endpoint);
    if ("problem" in parsed) {
      findings.malformed(valueAt(...path, index), `${quote(endpoint)} is not an endpoint`, parsed);
    }
    const first = positions.get(endpoint);
    if (first === undefined) positions.set(endpoint, index);
    else {
      findings.warning({
        place: valueAt(...path, index),
        other: valueAt(...path, first),
        message: `endpoint ${endpoint} is listed twice`,
        why: "it gets twice its share of the requests",
      });
    }
  }
}

/** A host belongs to one service; a service without `hosts`, declared or not, claims its name. */
function checkHosts(findings: Findings, document: TableDocument): void {
  const claims = new Map<string, { readonly service: string; readonly place: Place }>();
  const claim = (host: string, service: string, place: Place): void => {
    const parsed = parseHost(host);
    if ("problem" in parsed) {
      if (place.part === "value") findings.malformed(place, `${quote(host)} is not a host`, parsed);
      else if (checkName(service) === undefined) {
        const hint = "write its hosts under `hosts`";
        findings.malformed(place, `the name ${service} is not a host`, { problem: parsed.problem, hint });
      }
      return;
    }
    const canonical = canonicalHost(host);
    const first = claims.get(canonical);
    if (first === undefined) {
      claims.set(canonical, { service, place });
      return;
    }
    const both =
      first.service === service ? `twice by service ${service}` : `by services ${first.service} and ${service}`;
    findings.problem({
      place,
      other: first.place,
      message: `host ${canonical} is claimed ${both}`,
      why: "a host stands for one service",
      hint:
        place.part === "name"
          ? `write ${first.service} here, or give service ${service} hosts of its own`
          : "remove one",
    });
  };
  for (const [name, service] of Object.entries(document.services)) {
    if (service.hosts === undefined) claim(name, name, nameAt("services", name));
    else
      for (const [index, host] of service.hosts.entries()) claim(host, name, valueAt("services", name, "hosts", index));
  }
  for (const [name, place] of undeclaredServices(document)) claim(name, name, place);
}

/** Services that only sandboxes mention, each with the place of its first mention. */
function undeclaredServices(document: TableDocument): ReadonlyMap<string, Place> {
  const places = new Map<string, Place>();
  for (const [sandbox, { services }] of Object.entries(document.sandboxes)) {
    for (const name of Object.keys(services)) {
      if (Object.hasOwn(document.services, name) || places.has(name)) continue;
      places.set(name, nameAt("sandboxes", sandbox, "services", name));
    }
  }
  return places;
}

function checkKeys(findings: Findings, document: TableDocument): void {
  const owners = new Map<string, { readonly owner: string; readonly place: Place }>();
  const claim = (kind: "sandbox" | "group", name: string, explicit: string | undefined): void => {
    const section = kind === "sandbox" ? "sandboxes" : "groups";
    const place = explicit === undefined ? nameAt(section, name) : valueAt(section, name, "key");
    const key = explicit ?? name;
    if (explicit !== undefined) {
      const malformed = checkKey(key);
      if (malformed) findings.malformed(place, `${quote(key)} is not a routing key`, malformed);
      else if (encodeKey(key) !== key) {
        findings.warning({
          place,
          message: `routing key ${quote(key)} has characters that baggage percent-encodes`,
          hint: `send it as ${encodeKey(key)}`,
        });
      }
    }
    const first = owners.get(key);
    if (first === undefined) {
      owners.set(key, { owner: `${kind} ${name}`, place });
      return;
    }
    // A group and a sandbox of one name were reported by name already.
    if (first.owner === `sandbox ${name}` && place.part === "name" && first.place.part === "name") return;
    findings.problem({
      place,
      other: first.place,
      message: `${first.owner} and ${kind} ${name} have one routing key, ${quote(key)}`,
      why: "a key selects one of them",
      hint: "write another key",
    });
  };
  for (const [name, sandbox] of Object.entries(document.sandboxes)) claim("sandbox", name, sandbox.key);
  for (const [name, group] of Object.entries(document.groups)) claim("group", name, group.key);
}

/** Comparisons spent on "did you mean": beyond, a table is generated and its names are no slips. */
const COMPARISONS_MAX = 1_000_000;

/** A sandbox's service that is not declared is legal, but may be a slip, and then none of its requests arrive. */
function checkUndeclared(findings: Findings, document: TableDocument): void {
  const declared = Object.keys(document.services);
  let comparisons = 0;
  for (const [name, place] of undeclaredServices(document)) {
    const malformed = checkName(name);
    if (malformed) findings.malformed(place, `${quote(name)} is not a service name`, malformed);
    comparisons += declared.length;
    if (comparisons > COMPARISONS_MAX) continue;
    const guess = nearest(name, declared);
    if (guess === undefined) continue;
    findings.warning({
      place,
      other: nameAt("services", guess),
      message: `service ${name} is not declared, but ${guess} is`,
      why: "the sandbox gets no requests for a service that nobody calls",
      hint: `write ${guess} if you meant it, or declare ${name} under services`,
    });
  }
}

function quote(text: string): string {
  return JSON.stringify(text);
}
