// The sessions of this replica: who is connected, what the table says about them, and when that ends. Guarantees:
//
// - The table names a port before anything is sent there, and a port that it names leads to the session that it names, or nowhere.
// - A session that has lost its connection keeps ports and entries for the grace, and gets them back by its secret; without a
//   change of the table when it comes back here.
// - Entries that cannot be written out because the store is down are written out later (sweeper.ts); their doors are shut.
//
// Long because the whole life of a session stands here: what one step leaves half done the next has to find.

import type { WebSocket } from "ws";
import { formatEndpoint } from "../../routing/endpoint-name.ts";
import type { ControlState } from "../state.ts";
import type { Refusal } from "../writer.ts";
import type { Door } from "./door.ts";
import { Doors } from "./doors.ts";
import { defaultKeepAlive } from "./keep-alive.ts";
import { aftermathsOf, connectPlan, disconnectPlan } from "./plan.ts";
import type { ConnectRequest } from "./plan.ts";
import type { ConnectOptions, SessionInfo } from "./options.ts";
import { Session } from "./session.ts";
import type { Budget, SessionLimits } from "./session.ts";
import { Tunnel } from "./tunnel.ts";
import { targetText } from "./wire.ts";
import type { FromMachine, Target } from "./wire.ts";

/** After a goodbye the machine may take this long for what runs. */
const LEAVE_MS = 15_000;
/** After a take-over the doors lead to the new holder for so long: sidecars may not have heard yet. */
const LINGER_MS = 10_000;
/** Actor of what the control plane does by itself. */
const SELF = "sidelane";

/** A session and where it stands. */
interface Entry {
  readonly session: Session;
  /** Whether the table has it: before, its entries are not missed. */
  written: boolean;
  grace: NodeJS.Timeout | undefined;
  leaving: boolean;
}

export class ConnectHub {
  readonly #options: ConnectOptions;
  readonly #doors: Doors;
  readonly #sessions = new Map<string, Entry>();
  /** By session: one admission after the other. */
  readonly #turns = new Map<string, Promise<unknown>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #unfollow: () => void;
  readonly #limits: SessionLimits;
  readonly #budget: Budget;
  #connections = 0;
  #closing = false;

  constructor(options: ConnectOptions) {
    this.#options = options;
    this.#doors = new Doors(options.state, options);
    this.#unfollow = options.state.onChange(() => this.#compareAll());
    const { sessionConnectionsMax = 256, connectionsMax = 2048, heldMs = 5000 } = options;
    this.#limits = { connectionsMax: sessionConnectionsMax, heldMs };
    this.#budget = {
      take: () => {
        if (this.#connections >= connectionsMax) return false;
        this.#connections++;
        return true;
      },
      give: () => void this.#connections--,
    };
  }

  list(): readonly SessionInfo[] {
    return [...this.#sessions.values()].map(({ session }) => ({
      sandbox: session.identity.sandbox,
      targets: session.identity.targets.map(targetText),
      endpoints: this.#endpointsOf(session),
      by: session.identity.by,
      machine: session.identity.machine,
      connected: session.tunnel !== undefined,
      connections: session.connections.open,
      connectionsTotal: session.connections.served,
    }));
  }

  /** Whether a session is here, connected or awaited. */
  has(session: string): boolean {
    return this.#sessions.has(session);
  }

  /** Makes the table lead to this session, or says why not. Then `attach` has to follow within the grace. */
  admit(request: ConnectRequest): Promise<Refusal | undefined> {
    return this.#inTurn(request.session, () => this.#admit(request));
  }

  /** What is written about one session is written one after the other, so that an end does not take a new beginning back. */
  async #inTurn<T>(session: string, action: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(session) ?? Promise.resolve()).then(action);
    const settled = Promise.allSettled([turn]);
    this.#turns.set(session, settled);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(session) === settled) this.#turns.delete(session);
    }
  }

  /** The WebSocket of an admitted session. */
  attach(id: string, socket: WebSocket): void {
    const entry = this.#sessions.get(id);
    if (entry === undefined || this.#closing) return socket.terminate();
    const { session } = entry;
    clearTimeout(entry.grace);
    entry.leaving = false;
    const before = session.tunnel;
    const tunnel: Tunnel = new Tunnel(socket, this.#options.keepAlive ?? defaultKeepAlive, {
      onMessage: (message) => this.#hear(entry, tunnel, message),
      onClose: (why) => this.#lost(entry, tunnel, why),
    });
    const { sandbox, targets, by } = session.identity;
    const spec = this.#options.state.find("sandbox", sandbox)?.spec;
    tunnel.send({
      kind: "welcome",
      sandbox,
      key: spec?.key ?? sandbox,
      as: by,
      replica: this.#options.replica,
      endpoints: this.#endpointsOf(session),
      graceMs: this.#options.graceMs,
      temporary: spec?.temporary === true,
      aftermaths: aftermathsOf(this.#options.state, sandbox, targets),
    });
    session.attach(tunnel);
    before?.destroy("the machine connected again");
    this.#log("machine connected", session);
  }

  /** Tells machines to go elsewhere; entries stay for whoever takes them over. Resolves after `withinMs` at the latest. */
  async close(withinMs: number): Promise<void> {
    this.#closing = true;
    this.#unfollow();
    for (const { session } of this.#sessions.values()) session.tunnel?.send({ kind: "reconnect" });
    const entries = [...this.#sessions.values()];
    const isOver = (): boolean => entries.every(({ session }) => session.tunnel === undefined);
    const deadline = performance.now() + withinMs;
    while (!isOver() && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    for (const timer of this.#timers) clearTimeout(timer);
    for (const entry of entries) {
      const { tunnel } = entry.session;
      this.#forget(entry);
      tunnel?.destroy("the replica ended");
    }
  }

  async #admit(request: ConnectRequest): Promise<Refusal | undefined> {
    const { state, replica, host } = this.#options;
    if (this.#closing) return { refused: "busy", message: "this replica ends; connect again" };
    const known = this.#sessions.get(request.session);
    if (known !== undefined && isSame(known.session, request)) return this.#write(known, request);
    if (known !== undefined) {
      return { refused: "invalid", message: "a session keeps its sandbox and services; begin another one" };
    }
    const now = new Date().toISOString();
    // Before ports are opened: what will be refused anyway.
    const tried = connectPlan(state, request, { replica, endpoints: request.targets.map(() => ""), now });
    if ("refused" in tried) return tried;
    const full = this.#isFull(request);
    if (full !== undefined) return full;
    const doors = await this.#doors.open(request);
    if (doors === undefined) {
      const { first, last } = this.#options.ports;
      const message = `all ports from ${first} to ${last} at ${host} are in use; give connect.ports more, or wait a minute`;
      return { refused: "busy", message };
    }
    const { sandbox, targets, by, machine } = request;
    const session = new Session(
      { id: request.session, sandbox, targets, by, machine },
      doors,
      this.#limits,
      this.#budget,
    );
    const entry: Entry = { session, written: false, grace: undefined, leaving: false };
    this.#sessions.set(request.session, entry);
    for (const door of doors) door.used();
    let refusal: Refusal | undefined;
    try {
      refusal = await this.#write(entry, request);
    } catch (error) {
      this.#forget(entry);
      throw error;
    }
    if (refusal !== undefined) {
      this.#forget(entry);
      return refusal;
    }
    entry.written = true;
    this.#await(entry);
    this.#compare(entry); // what happened since the commit
    return undefined;
  }

  async #write(entry: Entry, request: ConnectRequest): Promise<Refusal | undefined> {
    const { writer, replica } = this.#options;
    const now = new Date().toISOString();
    const endpoints = this.#endpointsOf(entry.session);
    const result = await writer.write(request.by, "connect", (state) =>
      connectPlan(state, request, { replica, endpoints, now }),
    );
    return "refused" in result ? result : undefined;
  }

  #isFull({ sandbox, create }: ConnectRequest): Refusal | undefined {
    const { state, sessionsMax, resourcesMax = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#sessions.size >= sessionsMax) {
      const message = `${sessionsMax} machines are connected to this replica, and limits.connectSessionsMax allows no more`;
      return { refused: "busy", message };
    }
    const { services, sandboxes, groups } = state.table;
    if (create && !sandboxes.has(sandbox) && services.size + sandboxes.size + groups.size >= resourcesMax) {
      const message = `there are ${resourcesMax} services, sandboxes and groups, and limits.resourcesMax allows no more`;
      return { refused: "busy", message };
    }
    return undefined;
  }

  #endpointsOf({ doors }: Session): readonly string[] {
    return doors.map(({ port }) => formatEndpoint({ host: this.#options.host, port }));
  }

  #hear(entry: Entry, tunnel: Tunnel, message: FromMachine): void {
    if (entry.session.tunnel !== tunnel) return;
    if (message.kind === "goodbye") void this.#leave(entry, tunnel);
    else this.#setReachable(entry, new Set(message.targets)).catch((error: unknown) => this.#failed(error));
  }

  #failed(error: unknown): void {
    this.#options.log.error("a machine's ports could not be opened or closed", { error: String(error) });
  }

  async #setReachable(entry: Entry, unreachable: ReadonlySet<number>): Promise<void> {
    const { session } = entry;
    const outcomes = await Promise.all(session.doors.map((door, index) => door.setOpen(!unreachable.has(index))));
    if (!outcomes.includes("moved") || !this.#isHere(entry)) return;
    const { identity } = session;
    const request = { ...identity, session: identity.id, create: false, takeOver: false };
    const refusal = await this.#write(entry, request);
    if (refusal !== undefined)
      this.#log("the port was lost, and another could not be written", session, refusal.message);
  }

  async #leave(entry: Entry, tunnel: Tunnel): Promise<void> {
    const { session } = entry;
    if (entry.leaving) return;
    entry.leaving = true;
    const { sandbox, targets, by } = session.identity;
    const aftermaths = aftermathsOf(this.#options.state, sandbox, targets);
    const problem = await this.#inTurn(session.identity.id, () => this.#remove(session, by, "left"));
    // Where others answer, sidecars that have not heard yet are still answered here, as long as the machine stays.
    if (aftermaths.includes("nobody")) for (const door of session.doors) void door.setOpen(false);
    tunnel.send({ kind: "removed", aftermaths, problem });
    if (session.tunnel === undefined) this.#forget(entry);
    else this.#later(LEAVE_MS, () => tunnel.destroy("it left"));
  }

  /** Takes the entries out of the table; "" or why that was not possible. */
  async #remove(session: Session, actor: string, why: string): Promise<string> {
    const { writer, replica } = this.#options;
    const { sandbox, id } = session.identity;
    try {
      const plan = (state: ControlState) => disconnectPlan(state, { sandbox, session: id, replica }, why);
      const result = await writer.write(actor, "disconnect", plan);
      return "refused" in result ? result.message : "";
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  #lost(entry: Entry, tunnel: Tunnel, why: string): void {
    const { session } = entry;
    if (session.tunnel !== tunnel) return;
    session.attach(undefined);
    if (!this.#isHere(entry)) return;
    if (entry.leaving) {
      this.#log("machine left", session);
      return this.#forget(entry);
    }
    this.#log("machine lost its connection", session, why);
    this.#await(entry);
  }

  /** Begins the grace. */
  #await(entry: Entry): void {
    clearTimeout(entry.grace);
    entry.grace = this.#later(this.#options.graceMs, () => {
      if (entry.session.tunnel === undefined) void this.#giveUp(entry);
    });
  }

  async #giveUp(entry: Entry): Promise<void> {
    const { session } = entry;
    // Forgotten first: if it comes after all, it begins anew, with what the table says then.
    this.#forget(entry);
    const problem = await this.#inTurn(session.identity.id, () => this.#remove(session, SELF, "did not come back"));
    this.#log("machine did not come back", session, problem);
  }

  #compareAll(): void {
    for (const entry of this.#sessions.values()) if (entry.written) this.#compare(entry);
  }

  /** Ends the session if the table does not lead to it any more. */
  #compare(entry: Entry): void {
    if (entry.leaving || !this.#isHere(entry)) return;
    const { session } = entry;
    const { id, sandbox, targets } = session.identity;
    const resource = this.#options.state.find("sandbox", sandbox);
    if (resource === undefined) return this.#end(entry, "deleted", `sandbox ${sandbox} was deleted`);
    const connected = resource.spec.connected ?? {};
    for (const { service } of targets) {
      const now = Object.hasOwn(connected, service) ? connected[service] : undefined;
      if (now === undefined) {
        return this.#end(entry, "removed", `the connection of ${service} was taken out of sandbox ${sandbox}`);
      }
      if (now.session !== id) {
        return this.#end(entry, "taken-over", `${now.by} on ${now.machine} took ${service} over`, now.session);
      }
      if (now.replica !== this.#options.replica) return this.#moved(entry);
    }
  }

  #end(entry: Entry, why: "taken-over" | "deleted" | "removed", detail: string, heir = ""): void {
    const { session } = entry;
    const { tunnel } = session;
    clearTimeout(entry.grace);
    this.#sessions.delete(session.identity.id);
    session.attach(undefined);
    session.dropHeld();
    tunnel?.end({ kind: "ended", why, detail }, detail);
    for (const [index, door] of session.doors.entries()) {
      if (!this.#handOver(door, session.identity.targets[index], heir)) door.close();
      else this.#later(LINGER_MS, () => door.close());
    }
    this.#log("machine was disconnected", session, detail);
    // What it had besides.
    if (why !== "deleted") void this.#remove(session, SELF, "was disconnected");
  }

  /** A door that sidecars still know leads to whoever has taken the target over, if that is here. */
  #handOver(door: Door, target: Target | undefined, heir: string): boolean {
    const next = this.#sessions.get(heir)?.session;
    const index = next?.identity.targets.findIndex(
      ({ service, port }) => service === target?.service && port === target.port,
    );
    if (next === undefined || index === undefined || index === -1) return false;
    next.standBehind(door, index);
    return true;
  }

  /** The machine has connected to another replica. What runs here may finish there. */
  #moved(entry: Entry): void {
    const { session } = entry;
    const { tunnel } = session;
    this.#forget(entry);
    this.#log("machine connected to another replica", session);
    if (tunnel !== undefined) this.#later(LINGER_MS, () => tunnel.destroy("it connected to another replica"));
  }

  #forget(entry: Entry): void {
    const { session } = entry;
    clearTimeout(entry.grace);
    if (this.#isHere(entry)) this.#sessions.delete(session.identity.id);
    session.dropHeld();
    closeDoors(session);
  }

  #isHere(entry: Entry): boolean {
    return this.#sessions.get(entry.session.identity.id) === entry;
  }

  #later(afterMs: number, action: () => void): NodeJS.Timeout {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      action();
    }, afterMs);
    this.#timers.add(timer);
    return timer;
  }

  #log(message: string, { identity }: Session, why = ""): void {
    const { sandbox, targets, by, machine } = identity;
    const fields = { sandbox, services: targets.map(targetText).join(" "), by, machine };
    this.#options.log.info(message, why === "" ? fields : { ...fields, why });
  }
}

function isSame({ identity }: Session, other: ConnectRequest): boolean {
  const texts = (targets: readonly Target[]): string => targets.map(targetText).join(" ");
  return identity.sandbox === other.sandbox && texts(identity.targets) === texts(other.targets);
}

function closeDoors({ doors }: Session): void {
  for (const door of doors) door.close();
}
