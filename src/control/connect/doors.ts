import type { ControlState } from "../state.ts";
import { Door } from "./door.ts";
import { NamedPorts } from "./named-ports.ts";
import type { ConnectOptions } from "./options.ts";
import type { ConnectRequest } from "./plan.ts";
import { Ports } from "./ports.ts";

/** The doors of a replica: which ports they get. */
export class Doors {
  readonly #state: ControlState;
  readonly #host: string;
  readonly #named: NamedPorts;
  readonly #ports: Ports;

  constructor(state: ControlState, { host, ports }: Pick<ConnectOptions, "host" | "ports">) {
    this.#state = state;
    this.#host = host;
    this.#named = new NamedPorts(state, host);
    this.#ports = new Ports(ports, (port) => this.#named.has(port));
  }

  /** One per target, with the ports that the table has for this session, if they are ours and free; undefined: not enough ports. */
  async open({ sandbox, session, targets }: ConnectRequest): Promise<readonly Door[] | undefined> {
    const connected = this.#state.find("sandbox", sandbox)?.spec.connected ?? {};
    const doors: Door[] = [];
    for (const { service, port } of targets) {
      const had = Object.hasOwn(connected, service) ? connected[service] : undefined;
      const preferred = had?.session === session ? this.#named.portOf(had.endpoints, port) : undefined;
      const door = await Door.open(this.#ports, this.#host, preferred);
      if (door === undefined) {
        for (const opened of doors) opened.close();
        return undefined;
      }
      doors.push(door);
    }
    return doors;
  }
}
