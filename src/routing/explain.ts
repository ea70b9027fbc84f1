import { decisionReasons, reasonInfo } from "../base/reasons.ts";
import type { Reason } from "../base/reasons.ts";
import type { CompiledTable, TableCounts } from "./compiled-table.ts";
import { decide, NO_KEY, NO_SERVICE, UNKNOWN_KEY } from "./decide.ts";
import type { Decision, RoutePolicy } from "./decide.ts";
import { leavesToBaseline, strictlyOwned, unmetExpectation } from "./expectation.ts";
import { nearest } from "./nearest.ts";

/** Targets and services looked through for "did you mean": the admin server shares its thread with the requests. */
const GUESSES_MAX = 2000;

/** A request, as far as routing is concerned. Inbound, `service` is the config's and `target` and `port` the listener's. */
export interface Question {
  readonly table: CompiledTable;
  readonly policy: RoutePolicy;
  /** Name of a service, or an authority: `checkout`, `ledger:9090`, `checkout.shop.svc.cluster.local`. */
  readonly service: string;
  /** The routing key, if a carrier yielded one. */
  readonly key?: string;
  /** What yielded the key: `baggage: sidelane`. */
  readonly carrier?: string;
  /** Where the key comes from and what becomes of it, or why there is none; default: what `carrier` says. */
  readonly keyBecause?: string;
  /** Services that the key requires not to be answered by the baseline. */
  readonly required?: readonly string[];
  /** Why a signed key does not count, in a sentence; there is no `key` then. */
  readonly rejection?: string;
  /** At a listener with `edge: true`: whether the caller is trusted, and what follows. */
  readonly edge?: { readonly result: string; readonly because: string };
  /** Outbound: `service` without the key that a host carrier has found in it. */
  readonly knownHost?: string;
  /** Outbound: what becomes of keys in requests to hosts that the table does not have. */
  readonly egress?: "strip" | "keep";
  /** Inbound: `host:port` of the app. */
  readonly target?: string;
  /** Inbound: the port that the listener names, "" for the only one. */
  readonly port?: string;
}

/** One step of DESIGN §3.4: what was found and why. Steps after the one that decided are not there. */
export interface ExplanationStep {
  readonly name: "service" | "edge" | "key" | "self" | "target" | "claim" | "strict" | "require" | "egress";
  readonly result: string;
  readonly because: string;
}

/** A decision with everything that led to it; plain data, printed as JSON as it is. */
export interface Explanation {
  /** The whole answer in one sentence. */
  readonly summary: string;
  readonly service: string;
  readonly key: string | null;
  readonly carrier: string | null;
  readonly reason: Reason;
  /** "baseline", the name of a sandbox, "passthrough", or "none" when it is refused. */
  readonly destination: string;
  /** HTTP status of the refusal, or null when the request is forwarded. */
  readonly refused: number | null;
  readonly steps: readonly ExplanationStep[];
  /** Where the endpoints come from: the table, the listener's target, the request's own authority, or nowhere. */
  readonly via: "table" | "target" | "authority" | "refused";
  /** Where the request goes, per port of the service (port "" is the only one); empty when it is refused. */
  readonly endpoints: readonly { readonly port: string; readonly endpoints: readonly string[] }[];
  readonly table: { readonly version: number; readonly digest: string; readonly counts: TableCounts };
  /** What the reason means and what can be done about it. */
  readonly advice: string;
}

/** Decides as the data plane does, by `decide`, and says why. Off the request path: allocates. */
export function explain(question: Question): Explanation {
  const { table, policy, key } = question;
  const asked = findService(question);
  const target = key === undefined ? NO_KEY : findTarget(table, key);
  const decision = decide(table, policy, asked.service, asked.servicePort, target);
  const service = decision.service === "" ? question.service : decision.service;
  const refusal = refusalOf(question, asked, target, decision);
  const refused = refusal === undefined ? null : reasonInfo(refusal.reason).status;
  return {
    summary: summarise(question, decision, service, refusal?.reason),
    service,
    key: key ?? null,
    carrier: key === undefined ? null : (question.carrier ?? null),
    reason: refusal?.reason ?? decision.reason,
    destination: refusal === undefined ? decision.destination : "none",
    refused,
    steps: steps(question, asked, target, decision, refusal),
    via:
      refusal !== undefined
        ? "refused"
        : decision.set !== -1
          ? "table"
          : policy.direction === "inbound"
            ? "target"
            : "authority",
    endpoints: refusal === undefined ? endpoints(question, asked, target, decision) : [],
    table: { version: table.version, digest: table.digest, counts: table.counts },
    advice: advise(policy, asked, decision, refusal),
  };
}

/** Whether the table has the service or host that is asked for. */
export function isInTable(question: Question): boolean {
  return findService(question).service !== NO_SERVICE;
}

/** Why a request is not forwarded. */
interface Refusal {
  readonly reason: Reason;
  /** The step that says so, where it is not one of the decision's own. */
  readonly step?: ExplanationStep;
}

/** In the order in which the data plane looks. */
function refusalOf(question: Question, asked: AskedService, target: number, decision: Decision): Refusal | undefined {
  const { table, policy, rejection, required } = question;
  if (rejection !== undefined) return { reason: "key-rejected" };
  if (decision.refuse) return { reason: decision.reason };
  const reason = "expectation-failed";
  if (strictlyOwned(table, decision, asked.service, target) && leavesToBaseline(decision)) {
    const because = `the sandbox is strict, and the baseline would answer (${decision.reason})`;
    return { reason, step: { name: "strict", result: "failed", because } };
  }
  if (required === undefined) return undefined;
  const own = policy.direction === "inbound" ? (policy.service ?? "") : "";
  const unmet = unmetExpectation(table, decision, required, own, policy.isPartial === true);
  if (unmet === undefined) return undefined;
  const unknown = required.find((name) => name !== own && table.serviceByName(name) === NO_SERVICE);
  const guess = unknown === undefined ? undefined : nearest(unknown, someServices(table));
  const because = guess === undefined ? unmet : `${unmet}; did you mean ${guess}?`;
  return { reason, step: { name: "require", result: "failed", because } };
}

/** What the reason means here; the general sentence is that of the closed list. */
function advise(policy: RoutePolicy, asked: AskedService, decision: Decision, refusal: Refusal | undefined): string {
  if (refusal !== undefined) return reasonInfo(refusal.reason).advice;
  const { reason } = decision;
  if (policy.self) return decisionReasons.self.advice;
  if (reason === "not-in-table" && policy.direction === "inbound")
    return "set the listener's `port` to one of the service's ports";
  if (reason === "not-in-table" && asked.service !== NO_SERVICE) {
    return "the service does not have this port; the request passes through to the authority itself";
  }
  return decisionReasons[reason].advice;
}

interface AskedService {
  readonly service: number;
  readonly servicePort: number;
  /** Port name or number as asked for, "" for none. */
  readonly port: string;
  readonly how: "name" | "host";
}

/**
 * A name wins over a host, because that is what the flag is called; the part after the last colon may be a port. Inbound it
 * is as in the data plane: a name, and the listener's port.
 */
function findService({ table, policy, service: asked, knownHost, port: own }: Question): AskedService {
  const text = knownHost ?? asked;
  if (policy.direction === "inbound") {
    const service = table.serviceByName(text);
    const port = own ?? "";
    const servicePort = service === NO_SERVICE ? -1 : table.servicePortByName(service, port);
    return { service, servicePort, port, how: "name" };
  }
  const colon = text.endsWith("]") ? -1 : text.lastIndexOf(":");
  const host = colon === -1 ? text : text.slice(0, colon);
  const port = colon === -1 ? "" : text.slice(colon + 1);
  let service = table.serviceByName(host);
  const how = service === NO_SERVICE ? "host" : "name";
  if (service === NO_SERVICE) {
    const bytes = Buffer.from(host);
    service = table.findService(bytes, 0, bytes.length);
  }
  return { service, servicePort: service === NO_SERVICE ? -1 : findPort(table, service, port), port, how };
}

/** Without a port the first one stands for all: a sandbox has every port of a service or none. */
function findPort(table: CompiledTable, service: number, port: string): number {
  if (port === "") return table.servicePortByName(service, table.portNames(service)[0] ?? "");
  const byName = table.servicePortByName(service, port);
  return byName === -1 && /^[0-9]{1,5}$/u.test(port) ? table.servicePort(service, Number(port)) : byName;
}

function findTarget(table: CompiledTable, key: string): number {
  const bytes = Buffer.from(key);
  return table.findTarget(bytes, 0, bytes.length);
}

function summarise(question: Question, decision: Decision, service: string, refused: Reason | undefined): string {
  const without = refused === "key-rejected" ? "with a bad key" : "without a key";
  const request = question.key === undefined ? `${service} ${without}` : `${service} with key ${question.key}`;
  if (refused !== undefined) return `${request} is refused with ${reasonInfo(refused).status} (${refused})`;
  return `${request} goes to ${destinationName(question, decision)} (${decision.reason})`;
}

function destinationName({ policy }: Question, decision: Decision): string {
  if (policy.self) return `the app, which is sandbox ${policy.sandbox ?? decision.destination}'s own copy`;
  if (decision.destination === "passthrough") return "the authority itself";
  return decision.destination === "baseline" ? "the baseline" : `sandbox ${decision.destination}`;
}

function steps(
  question: Question,
  asked: AskedService,
  target: number,
  decision: Decision,
  refusal: Refusal | undefined,
): readonly ExplanationStep[] {
  const taken = decisionSteps(question, asked, target, decision);
  if (refusal !== undefined) return refusal.step === undefined ? taken : [...taken, refusal.step];
  const { table, required, egress } = question;
  const { service, destination } = decision;
  if (strictlyOwned(table, decision, asked.service, target)) {
    const because = `sandbox ${destination} is strict: if it cannot be reached, the request is refused`;
    taken.push({ name: "strict", result: "yes", because });
  }
  if (required !== undefined) {
    const isHere = required.includes(service);
    const because = isHere
      ? `${service} must not be answered by the baseline, and is not`
      : `${list(required)} must not be answered by the baseline; this is ${service === "" ? question.service : service}`;
    taken.push({ name: "require", result: isHere ? "met" : "not here", because });
  }
  if (asked.service === NO_SERVICE && decision.destination === "passthrough" && egress !== undefined) {
    const because =
      egress === "strip"
        ? "the host is not in the table, so keys are removed from the request (egress: strip)"
        : "the host is not in the table, and the request leaves with its key (egress: keep)";
    taken.push({ name: "egress", result: egress, because });
  }
  return taken;
}

/** Steps 1 to 5 of DESIGN §3.4. */
function decisionSteps(question: Question, asked: AskedService, target: number, decision: Decision): ExplanationStep[] {
  const { table, policy, key, edge } = question;
  const taken: ExplanationStep[] = [serviceStep(question, asked)];
  if (edge !== undefined) taken.push({ name: "edge", ...edge });
  if (decision.reason === "not-in-table" && policy.direction === "outbound") return taken;
  taken.push(keyStep(question));
  if (key === undefined) return taken;
  if (policy.direction === "inbound") {
    const because = policy.self
      ? "this sidecar stands beside a sandbox's own copy, so whatever arrives is for its app"
      : "this sidecar stands beside the baseline";
    taken.push({ name: "self", result: policy.self ? "yes" : "no", because });
    if (policy.self) return taken;
  }
  taken.push(targetStep(table, policy, key, target));
  if (target !== UNKNOWN_KEY) taken.push(claimStep(table, target, decision));
  return taken;
}

function serviceStep({ table, policy, service: whole, knownHost }: Question, asked: AskedService): ExplanationStep {
  const { service, servicePort, port, how } = asked;
  const text = knownHost ?? whole;
  if (service === NO_SERVICE) {
    const guess = nearest(text, someServices(table));
    const because =
      guess === undefined ? "the table has no such service or host" : `not in the table; did you mean ${guess}?`;
    return { name: "service", result: policy.direction === "inbound" ? text : "none", because };
  }
  const name = table.serviceName(service);
  const hosts = table.hosts(service).join(", ");
  if (servicePort === -1) {
    const which = port === "" ? "the listener names none" : `${port} is none of them`;
    const because = `${name} has the ports ${describePorts(table, service)}, and ${which}`;
    return { name: "service", result: `${name}, unknown port`, because };
  }
  const ports = table.portNames(service).length > 1 ? `; ports ${describePorts(table, service)}` : "";
  const beside = knownHost === undefined ? "" : `beside the key in ${whole}, `;
  const found = how === "host" ? `${beside}${text} is one of its hosts: ${hosts}` : `${beside}hosts ${hosts}`;
  return { name: "service", result: name, because: found + ports };
}

function keyStep({ key, carrier, keyBecause, rejection }: Question): ExplanationStep {
  if (rejection !== undefined) return { name: "key", result: "rejected", because: rejection };
  const given = carrier === undefined ? "as given" : `from ${carrier}`;
  return { name: "key", result: key ?? "none", because: keyBecause ?? (key === undefined ? "none was given" : given) };
}

function targetStep(table: CompiledTable, policy: RoutePolicy, key: string, target: number): ExplanationStep {
  if (target === UNKNOWN_KEY) {
    const guess = nearest(key, someKeys(table));
    const because = `no sandbox or group has this key${guess === undefined ? "" : `; did you mean ${guess}?`}`;
    return { name: "target", result: "unknown", because: `${because}; onUnknownKey is ${policy.onUnknownKey}` };
  }
  const members = table.groupMembers(target);
  const name = table.targetName(target);
  if (members === undefined) return { name: "target", result: `sandbox ${name}`, because: "it has exactly this key" };
  return {
    name: "target",
    result: `group ${name}`,
    because: `it has exactly this key; its sandboxes: ${list(members)}`,
  };
}

function claimStep(table: CompiledTable, target: number, decision: Decision): ExplanationStep {
  const { reason, destination, service } = decision;
  const name = table.targetName(target);
  const members = table.groupMembers(target);
  if (reason === "sandbox") {
    const before = members?.slice(0, members.indexOf(destination)) ?? [];
    const passed = before.length === 0 ? "" : `; ${list(before)} before it ${before.length === 1 ? "does" : "do"} not`;
    const first = members === undefined ? "" : before.length === 0 ? ", and it comes first" : passed;
    return { name: "claim", result: "yes", because: `sandbox ${destination} has ${service}${first}` };
  }
  if (reason === "not-in-table") {
    const because = `without the port of ${service} that this listener is, no sandbox can claim the request`;
    return { name: "claim", result: "no", because };
  }
  const owner = members === undefined ? `sandbox ${name} changes` : `the sandboxes of ${name} change`;
  const changed = changedServices(table, target);
  return { name: "claim", result: "no", because: `${owner} ${list(changed)}, not ${service || "this service"}` };
}

/** Services that a sandbox or the sandboxes of a group change. */
function changedServices(table: CompiledTable, target: number): readonly string[] {
  const names: string[] = [];
  const { services } = table.counts;
  for (let service = 0; service < services && names.length <= LISTED_MAX; service++) {
    const port = table.servicePortByName(service, table.portNames(service)[0] ?? "");
    if (table.overrideSet(target, port) !== -1) names.push(table.serviceName(service));
  }
  return names;
}

function endpoints(
  { table, policy, service: text, target: app }: Question,
  asked: AskedService,
  target: number,
  decision: Decision,
): Explanation["endpoints"] {
  if (decision.set === -1) {
    if (policy.direction === "inbound") return [{ port: "", endpoints: app === undefined ? [] : [app] }];
    return [{ port: "", endpoints: [text] }];
  }
  const ports =
    asked.port === "" && policy.direction === "outbound"
      ? table.portNames(asked.service)
      : [table.portName(asked.servicePort)];
  return ports.map((port) => {
    const id = table.servicePortByName(asked.service, port);
    const set = decision.reason === "sandbox" ? table.overrideSet(target, id) : table.baselineSet(id);
    return { port, endpoints: set === -1 ? [] : table.endpoints(set) };
  });
}

function describePorts(table: CompiledTable, service: number): string {
  const names = table.portNames(service);
  return list(names.map((name) => `${name} (${table.portNumber(table.servicePortByName(service, name))})`));
}

function someKeys(table: CompiledTable): readonly string[] {
  return Array.from({ length: Math.min(table.targetCount, GUESSES_MAX) }, (_, target) => table.targetKey(target));
}

function someServices(table: CompiledTable): readonly string[] {
  const count = Math.min(table.counts.services, GUESSES_MAX);
  return Array.from({ length: count }, (_, service) => table.serviceName(service));
}

const LISTED_MAX = 8;

function list(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  const shown = names.slice(0, LISTED_MAX);
  return names.length > LISTED_MAX ? `${shown.join(", ")} and more` : shown.join(", ");
}
