// What reviews need to know of the cluster, followed by watches: labels of namespaces, and Services.

import type { Log } from "../base/log.ts";
import { pause } from "../kube/back-off.ts";
import type { KubeClient } from "../kube/client.ts";
import { Informer } from "../kube/informer.ts";
import { isNotFound } from "../kube/kube-error.ts";
import type { KubeObject } from "../kube/object.ts";
import { INJECTION, isOutboundListener } from "../kube/injected-pod.ts";
import { isTcp } from "./pod/pod.ts";
import type { Service } from "./pod/pod.ts";
import { mayBeHttp } from "./pod/protocol.ts";
import type { HttpPorts } from "./pod/review-pod.ts";

/** Between two looks at the version. */
const VERSION_MS = 10 * 60_000;
/** A namespace that is not there is not asked for again so soon: anybody who reaches the webhook may make names up. */
const ABSENT_MS = 5000;
const ABSENT_MAX = 1000;

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
  #httpPorts: HttpPorts | undefined;
  /** Namespaces that were not there, and the errors that said so; oldest first. */
  readonly #absent = new Map<string, { readonly error: unknown; readonly untilMs: number }>();
  readonly #ending = new AbortController();

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { client, log } = options;
    const selection = { metadataOnly: true };
    this.#namespaces = new Informer({ client, path: "/api/v1/namespaces", selection, log });
    this.#services = new Informer<KnownService>({ client, path: "/api/v1/services", log });
    this.#namespaces.onChange(() => (this.#httpPorts = undefined));
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

  /** Ports at which Services may speak HTTP. */
  get httpPorts(): HttpPorts {
    const isInjected = (namespace: string): boolean => asks(this.#namespaces.get(namespace));
    this.#httpPorts ??= httpPortsOf(this.#services.list(), isInjected);
    return this.#httpPorts;
  }

  /**
   * Labels of a namespace. The API server asks about namespaces that it holds to be enabled: where the copy here says otherwise, or
   * does not know it, the newest state is on its way, and is fetched. Rejects when nothing is known.
   */
  async labels(namespace: string): Promise<Readonly<Record<string, string>>> {
    const known = this.#namespaces.get(namespace);
    if (asks(known)) return known?.metadata.labels ?? {};
    const absent = this.#absent.get(namespace);
    if (known === undefined && absent !== undefined && performance.now() < absent.untilMs) throw absent.error;
    try {
      const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}`;
      const { namespaceMs: withinMs } = this.#options;
      const { metadata } = await this.#options.client.request<KubeObject>({ method: "GET", path, withinMs });
      return metadata.labels ?? {};
    } catch (error) {
      if (known !== undefined && !isNotFound(error)) return known.metadata.labels ?? {};
      if (isNotFound(error)) this.#rememberAbsent(namespace, error);
      throw error;
    }
  }

  #rememberAbsent(namespace: string, error: unknown): void {
    this.#absent.delete(namespace);
    this.#absent.set(namespace, { error, untilMs: performance.now() + ABSENT_MS });
    const [oldest] = this.#absent.keys();
    if (this.#absent.size > ABSENT_MAX && oldest !== undefined) this.#absent.delete(oldest);
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

function asks(namespace: KubeObject | undefined): boolean {
  const value = namespace?.metadata.labels?.[INJECTION];
  return value === "enabled" || value === "on-request";
}

/** First Service at each port that may speak HTTP there, and first one that says otherwise. */
interface Spoken {
  readonly http: Map<number, string>;
  readonly other: Map<number, string>;
}

/**
 * A port that one Service uses for HTTP and another for something else would break the other one's clients. Services of namespaces with
 * sidecars decide: a key is of use there, and nobody elsewhere may keep it away from them.
 */
function httpPortsOf(services: readonly Service[], isInjected: (namespace: string) => boolean): HttpPorts {
  const injected: Spoken = { http: new Map(), other: new Map() };
  const elsewhere: Spoken = { http: new Map(), other: new Map() };
  for (const { metadata, spec } of services) {
    const { http, other } = isInjected(metadata.namespace) ? injected : elsewhere;
    const name = `${metadata.namespace}/${metadata.name}`;
    // Of other protocols nothing is redirected: HTTP/3 on the same number stands in nobody's way.
    for (const port of (spec?.ports ?? []).filter(isTcp)) {
      const spoken = mayBeHttp(port) ? http : other;
      if ((spoken.get(port.port) ?? `${name}~`) > name) spoken.set(port.port, name);
    }
  }
  const ports = [
    ...[...injected.http.keys()].filter((port) => !injected.other.has(port)),
    ...[...elsewhere.http.keys()].filter((port) => !injected.other.has(port) && !elsewhere.other.has(port)),
  ];
  return {
    ports: [...new Set(ports)].filter((port) => !isOutboundListener(port)).toSorted((a, b) => a - b),
    disputed: [...injected.http.keys()]
      .toSorted((a, b) => a - b)
      .flatMap((port) => {
        const by = injected.other.get(port);
        return by === undefined ? [] : [{ port, by }];
      }),
  };
}
