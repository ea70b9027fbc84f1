// What reviews need to know of the cluster, followed by watches: labels of namespaces, and Services.

import type { Log } from "../base/log.ts";
import { pause } from "../kube/back-off.ts";
import type { KubeClient } from "../kube/client.ts";
import { Informer } from "../kube/informer.ts";
import { isNotFound } from "../kube/kube-error.ts";
import type { KubeObject } from "../kube/object.ts";
import { INJECTION } from "./pod/names.ts";
import { isTcp } from "./pod/pod.ts";
import type { Service } from "./pod/pod.ts";
import { mayBeHttp } from "./pod/protocol.ts";

/** Between two looks at the version. */
const VERSION_MS = 10 * 60_000;

type KnownService = KubeObject & Service;

/** What it needs. */
export interface ClusterOptions {
  readonly client: Pick<KubeClient, "get" | "list" | "watch" | "request">;
  readonly log: Log;
  /** For a namespace whose label has not arrived yet. */
  readonly namespaceMs: number;
}

export class Cluster {
  readonly #options: ClusterOptions;
  readonly #namespaces: Informer;
  readonly #services: Informer<KnownService>;
  readonly #byNamespace = new Map<string, Map<string, KnownService>>();
  #minorVersion: number | undefined;
  #httpPorts: readonly number[] | undefined;
  readonly #ending = new AbortController();

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { client, log } = options;
    const selection = { metadataOnly: true };
    this.#namespaces = new Informer({ client, path: "/api/v1/namespaces", selection, log });
    this.#services = new Informer<KnownService>({ client, path: "/api/v1/services", log });
    this.#services.onChange(({ type, object }) => {
      const { name, namespace } = object.metadata;
      const services = this.#byNamespace.get(namespace) ?? new Map<string, KnownService>();
      if (type === "delete") services.delete(name);
      else services.set(name, object);
      if (services.size === 0) this.#byNamespace.delete(namespace);
      else this.#byNamespace.set(namespace, services);
      this.#httpPorts = undefined;
    });
  }

  start(): void {
    this.#namespaces.start();
    this.#services.start();
    void this.#readVersion();
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await Promise.all([this.#namespaces.stop(), this.#services.stop()]);
  }

  /** What is not known yet, sentences; reviews begin when there is nothing. */
  get missing(): readonly string[] {
    return [
      ...(this.#namespaces.isSynced ? [] : [`the namespaces are not known yet${reason(this.#namespaces.problem)}`]),
      ...(this.#services.isSynced ? [] : [`the Services are not known yet${reason(this.#services.problem)}`]),
      ...(this.#minorVersion === undefined ? ["the version of the cluster is not known yet"] : []),
    ];
  }

  /** Of Kubernetes 1.x; 0 before it is known. */
  get minorVersion(): number {
    return this.#minorVersion ?? 0;
  }

  /** In a fixed order, so that what follows from them does not depend on when they came. */
  services(namespace: string): readonly Service[] {
    const services = [...(this.#byNamespace.get(namespace)?.values() ?? [])];
    return services.toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }

  /** Ports of all Services that may speak HTTP and none says otherwise of, ascending. */
  get httpPorts(): readonly number[] {
    this.#httpPorts ??= httpPortsOf(this.#services.list());
    return this.#httpPorts;
  }

  /**
   * Labels of a namespace. The API server asks about namespaces that it holds to be enabled: where the copy here says otherwise, or
   * does not know it, the newest state is on its way, and is fetched. Rejects when nothing is known.
   */
  async labels(namespace: string): Promise<Readonly<Record<string, string>>> {
    const known = this.#namespaces.get(namespace);
    const value = known?.metadata.labels?.[INJECTION];
    if (value === "enabled" || value === "on-request") return known?.metadata.labels ?? {};
    try {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
      const { namespaceMs: withinMs } = this.#options;
      const { metadata } = await this.#options.client.request<KubeObject>({ method: "GET", path, withinMs });
      return metadata.labels ?? {};
    } catch (error) {
      if (known !== undefined && !isNotFound(error)) return known.metadata.labels ?? {};
      throw error;
    }
  }

  async #readVersion(): Promise<void> {
    const { client, log } = this.#options;
    for (let tries = 1; !this.#ending.signal.aborted; tries++) {
      try {
        const { minor = "" } = await client.get<{ readonly minor?: string }>("/version");
        // `29`, or `29+` where a vendor has changed something.
        this.#minorVersion = Number.parseInt(minor, 10) || 0;
        tries = 0;
      } catch (error) {
        if (tries === 1) log.warn("the version of the cluster cannot be read", { error: String(error) });
      }
      // Clusters are upgraded while we run.
      await pause(this.#minorVersion === undefined ? 1000 : VERSION_MS, this.#ending.signal);
    }
  }
}

function reason(problem: string): string {
  return problem === "" ? "" : `: ${problem}`;
}

/** A port that one Service uses for HTTP and another for something else would break the other one's clients. */
function httpPortsOf(services: readonly Service[]): readonly number[] {
  const ports = new Set<number>();
  const others = new Set<number>();
  for (const { spec } of services) {
    // Of other protocols nothing is redirected: HTTP/3 on the same number stands in nobody's way.
    for (const port of (spec?.ports ?? []).filter(isTcp)) (mayBeHttp(port) ? ports : others).add(port.port);
  }
  return [...ports].filter((port) => !others.has(port)).toSorted((a, b) => a - b);
}
