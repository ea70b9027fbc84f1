// What connecting and disconnecting write to the sandbox, from what is known: pure.

import { endpointsByPort, entry, portsOf } from "../../routing/document.ts";
import type { EndpointsDocument } from "../../routing/document.ts";
import { checkTargetName } from "../../routing/names.ts";
import { checkChange } from "../check-change.ts";
import { nearest } from "../../routing/nearest.ts";
import type { ConnectedService, SandboxResource, SandboxSpec } from "../resource.ts";
import type { ControlState } from "../state.ts";
import type { Plan, Refusal } from "../writer.ts";
import { targetText } from "./wire.ts";
import type { Aftermath, Target } from "./wire.ts";

/** Who wants to answer for what. */
export interface ConnectRequest {
  readonly sandbox: string;
  /** At least one, no two alike. */
  readonly targets: readonly Target[];
  /** Id of the session: a digest of its secret, so that whoever reads the sandbox cannot end or take it. */
  readonly session: string;
  /** Make the sandbox where there is none. */
  readonly create: boolean;
  /** Also where somebody else answers now. */
  readonly takeOver: boolean;
  readonly by: string;
  readonly machine: string;
}

/** Of the replica that holds the connection. */
export interface Holder {
  /** Its id. */
  readonly replica: string;
  /** `host:port` by target. */
  readonly endpoints: readonly string[];
  /** ISO 8601. */
  readonly now: string;
}

/** Writes the entries of a session, or says why not. Nothing to write when they are there already. */
export function connectPlan(state: ControlState, request: ConnectRequest, holder: Holder): Plan | Refusal {
  const sandbox = state.find("sandbox", request.sandbox);
  const spec = sandbox?.spec ?? newSandbox(state, request);
  if ("refused" in spec) return spec;
  const connected: Record<string, ConnectedService> = { ...spec.connected };
  let changed = false;
  for (const service of new Set(request.targets.map((target) => target.service))) {
    const endpoints = endpointsOf(state, spec, request, holder, service);
    if ("refused" in endpoints) return endpoints;
    const before = entry(connected, service);
    const foreign = before !== undefined && before.session !== request.session;
    if (foreign && isHeld(before) && !request.takeOver) return heldRefusal(request.sandbox, service, before);
    const since = before === undefined || foreign ? holder.now : before.since;
    const { session, by, machine } = request;
    const after = { endpoints: endpoints.endpoints, session, replica: holder.replica, by, machine, since };
    if (JSON.stringify(before) === JSON.stringify(after)) continue;
    connected[service] = after;
    changed = true;
  }
  if (!changed) return { puts: [], deletes: [], detail: () => "" };
  const draft = { kind: "sandbox", name: request.sandbox, spec: { ...spec, connected } } as const;
  // What a table may not hold would be refused by every sidecar, together with everything that comes after it.
  const [problem] = checkChange(state, draft).problems;
  if (problem !== undefined) return { refused: "invalid", message: problem.message };
  return {
    puts: [draft],
    deletes: [],
    detail: () => `${request.targets.map(targetText).join(", ")}: ${request.by} on ${request.machine}`,
  };
}

/** Whether a machine answers, or may come back; an entry without replica only keeps others from answering. */
function isHeld({ replica }: ConnectedService): boolean {
  return replica !== "";
}

function heldRefusal(sandbox: string, service: string, { by, machine, since }: ConnectedService): Refusal {
  return {
    refused: "exists",
    message:
      `${service} of sandbox ${sandbox} is connected to the machine ${machine} of ${by} since ${since}; ` +
      "take it with --take-over, or use a sandbox of your own",
  };
}

function newSandbox(state: ControlState, { sandbox, create, by }: ConnectRequest): SandboxSpec | Refusal {
  if (!create) {
    const guess = nearest(sandbox, state.table.sandboxes.keys());
    const hint = guess === undefined ? "" : `did you mean ${guess}? `;
    return {
      refused: "not-found",
      message: `there is no sandbox ${JSON.stringify(sandbox)}; ${hint}--create makes one that lives as long as the connection`,
    };
  }
  const malformed = checkTargetName(sandbox);
  if (malformed !== undefined) {
    const message = `${JSON.stringify(sandbox)} cannot be a sandbox: ${malformed.problem}; ${malformed.hint}`;
    return { refused: "invalid", message };
  }
  const owner = keyOwner(state, sandbox);
  if (owner !== undefined) {
    const message = `the routing key ${JSON.stringify(sandbox)} belongs to ${owner}; choose another name`;
    return { refused: "exists", message };
  }
  return { labels: {}, owner: by, description: "made by sidelane connect", services: {}, temporary: true };
}

/** Whose requests have this key. Names are keys where no other is given. */
function keyOwner(state: ControlState, key: string): string | undefined {
  for (const sandbox of state.table.sandboxes.values()) {
    if ((sandbox.key || sandbox.name) === key) return `sandbox ${sandbox.name}`;
  }
  for (const group of state.table.groups.values()) {
    if ((group.key || group.name) === key) return `group ${group.name}`;
  }
  return undefined;
}

/** All ports of a service: those that the machine answers for, and for the others the sandbox's own endpoints. */
function endpointsOf(
  state: ControlState,
  spec: SandboxSpec,
  { sandbox, targets }: ConnectRequest,
  { endpoints }: Holder,
  service: string,
): { readonly endpoints: EndpointsDocument } | Refusal {
  const declared = state.find("service", service);
  const own = entry(spec.services, service);
  if (declared === undefined && own === undefined) {
    const guess = nearest(service, [...state.table.services.keys(), ...Object.keys(spec.services)]);
    const hint = guess === undefined ? `sidelane service create ${service} makes it` : `did you mean ${guess}?`;
    return { refused: "not-found", message: `there is no service ${JSON.stringify(service)}; ${hint}` };
  }
  const ports = portsOf(declared?.spec);
  const named = new Map(targets.flatMap((one, index) => (one.service === service ? [[one.port, index]] : [])));
  for (const port of named.keys()) {
    if (!Object.hasOwn(ports, port)) return portRefusal(service, port, Object.keys(ports));
  }
  const others = new Map(own === undefined ? [] : endpointsByPort(ports, own));
  const found: Record<string, readonly string[]> = {};
  for (const port of Object.keys(ports)) {
    const index = named.get(port);
    const answering = index === undefined ? others.get(port) : [endpoints[index] ?? ""];
    if (answering === undefined) {
      const all = Object.keys(ports).map((one) => `--service ${service}:${one}=localhost:PORT`);
      const message = `${service} has several ports, and nobody would answer for ${port} in sandbox ${sandbox}; connect all: ${all.join(" ")}`;
      return { refused: "invalid", message };
    }
    found[port] = answering;
  }
  return { endpoints: found[""] ?? found };
}

function portRefusal(service: string, port: string, ports: readonly string[]): Refusal {
  if (ports[0] === "") {
    const message = `${service} has one port without a name; write --service ${service}=localhost:PORT`;
    return { refused: "invalid", message };
  }
  const guess = nearest(port, ports) ?? ports[0] ?? "";
  const what = port === "" ? `${service} has several ports` : `${service} has no port ${JSON.stringify(port)}`;
  const message = `${what}: ${ports.join(", ")}; write --service ${service}:${guess}=localhost:PORT`;
  return { refused: "invalid", message };
}

/**
 * Takes the entries of a session out of its sandbox, as `whenDisconnected` says, and the sandbox too if it was made for
 * connections and this was the last. Only those that `replica` still holds: a machine that came back elsewhere keeps its own.
 */
export function disconnectPlan(
  state: ControlState,
  { sandbox, session, replica }: { readonly sandbox: string; readonly session: string; readonly replica: string },
  why: string,
): Plan {
  const nothing: Plan = { puts: [], deletes: [], detail: () => "" };
  const resource = state.find("sandbox", sandbox);
  if (resource === undefined) return nothing;
  const { spec } = resource;
  const all = Object.entries(spec.connected ?? {});
  const mine = all.filter(([, one]) => one.session === session && one.replica === replica);
  if (mine.length === 0) return nothing;
  const services = mine.map(([service]) => service);
  const detail = (): string => `${services.join(", ")}: ${mine[0]?.[1].by ?? ""} ${why}`;
  const connected =
    spec.whenDisconnected === "unavailable"
      ? { ...spec.connected, ...Object.fromEntries(mine.map(([name, one]) => [name, { ...one, replica: "" }])) }
      : Object.fromEntries(all.filter(([name]) => !services.includes(name)));
  if (Object.keys(connected).length === 0 && endsWithConnections(state, resource)) {
    return { puts: [], deletes: [{ kind: "sandbox", name: sandbox }], detail };
  }
  const { connected: _, ...rest } = spec;
  const next = Object.keys(connected).length === 0 ? rest : { ...rest, connected };
  return { puts: [{ kind: "sandbox", name: sandbox, spec: next }], deletes: [], detail };
}

/** Made by `--create`, and in no group's list: a list names sandboxes that exist. */
function endsWithConnections(state: ControlState, { name, spec }: SandboxResource): boolean {
  return spec.temporary === true && !state.list("group").some((group) => group.spec.sandboxes?.includes(name) === true);
}

/** By target: who answers when the session is over. */
export function aftermathsOf(state: ControlState, sandbox: string, targets: readonly Target[]): readonly Aftermath[] {
  const resource = state.find("sandbox", sandbox);
  if (resource === undefined) return targets.map(() => "sandbox-deleted");
  const { spec } = resource;
  const others = Object.keys(spec.connected ?? {}).some((service) => targets.every((one) => one.service !== service));
  return targets.map(({ service }): Aftermath => {
    if (spec.whenDisconnected === "unavailable") return "nobody";
    if (!others && endsWithConnections(state, resource)) return "sandbox-deleted";
    return entry(spec.services, service) === undefined ? "baseline" : "sandbox";
  });
}
