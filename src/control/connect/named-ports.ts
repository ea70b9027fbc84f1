import { isList } from "../../routing/document.ts";
import type { EndpointsDocument } from "../../routing/document.ts";
import { formatEndpoint } from "../../routing/endpoint-name.ts";
import type { ControlState } from "../state.ts";

/** Which ports of this replica's host the table leads to, whosever they are. */
export class NamedPorts {
  readonly #state: ControlState;
  readonly #host: string;
  #revision = -1;
  #ports: ReadonlySet<number> = new Set();

  constructor(state: ControlState, host: string) {
    this.#state = state;
    this.#host = host;
  }

  has(port: number): boolean {
    if (this.#revision !== this.#state.revision) {
      this.#ports = this.#collect();
      this.#revision = this.#state.revision;
    }
    return this.#ports.has(port);
  }

  /** The port that an entry has at this host for a port of its service; undefined when it is at another host. */
  portOf(endpoints: EndpointsDocument, port: string): number | undefined {
    const here = isList(endpoints) ? endpoints : (endpoints[port] ?? []);
    return here.map((endpoint) => this.#portAt(endpoint))[0];
  }

  #collect(): ReadonlySet<number> {
    const ports = new Set<number>();
    for (const { spec } of this.#state.list("sandbox")) {
      for (const { endpoints } of Object.values(spec.connected ?? {})) {
        const all = isList(endpoints) ? endpoints : Object.values(endpoints).flat();
        for (const port of all.map((endpoint) => this.#portAt(endpoint))) if (port !== undefined) ports.add(port);
      }
    }
    return ports;
  }

  #portAt(endpoint: string): number | undefined {
    const port = Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
    return endpoint === formatEndpoint({ host: this.#host, port }) ? port : undefined;
  }
}
