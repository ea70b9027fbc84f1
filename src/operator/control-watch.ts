// Looks at the control plane now and then, because it knows things first: a sandbox whose sidecars have fallen behind, that has
// expired, or that somebody deleted; and what the operator owns there though its Sandbox or RouteGroup is gone.

import { tableName } from "../kube/object-names.ts";
import type { KubeObject } from "../kube/object.ts";
import { backOffMs, pause } from "../kube/back-off.ts";
import type { ResourceView } from "../client/resource-view.ts";
import { controlProblem, isGone, ownFilter } from "./control-plane.ts";
import type { OperatorContext } from "./operator-context.ts";

const LOOK_MS = 3000;
/** What was just made may not be followed yet: an orphan is one when it is one twice. */
const SWEEP_EVERY = 5;

export class ControlWatch {
  readonly #context: OperatorContext;
  /** What was known of each sandbox, in one word. */
  readonly #known = new Map<string, string>();
  #orphans = new Set<string>();

  constructor(context: OperatorContext) {
    this.#context = context;
  }

  /** Until `signal` is aborted; never rejects. */
  async run(signal: AbortSignal): Promise<void> {
    const { log } = this.#context;
    let failures = 0;
    for (let look = 0; !signal.aborted; look++) {
      const startMs = performance.now();
      try {
        await this.#look();
        if (look % SWEEP_EVERY === 0) await this.#sweep();
        if (failures > 0) log.info("the control plane answers again");
        failures = 0;
      } catch (error) {
        failures++;
        if (failures === 1 || failures % 20 === 0)
          log.warn("the control plane cannot be looked at", { error: controlProblem(error) });
      }
      // Ten thousand sandboxes are a long answer: most of the time is to be left for others.
      const lookMs = Math.max(LOOK_MS, 10 * (performance.now() - startMs));
      await pause(failures === 0 ? lookMs : backOffMs({ firstMs: LOOK_MS, mostMs: 30_000 }, failures), signal);
    }
  }

  async #look(): Promise<void> {
    const { control, cluster, queues } = this.#context;
    const client = await control.client();
    const views = new Map((await client.list("sandbox", ownFilter())).map((view) => [view.name, view]));
    for (const { metadata } of cluster.sandboxes.list()) {
      const name = tableName(metadata.name, metadata.namespace);
      const word = wordOf(views.get(name));
      const before = this.#known.get(name);
      this.#known.set(name, word);
      if (before !== undefined && before !== word) queues.sandboxes.add(`${metadata.namespace}/${metadata.name}`);
    }
  }

  async #sweep(): Promise<void> {
    const { control, cluster, log } = this.#context;
    const client = await control.client();
    const orphans = new Set<string>();
    // Groups first: they name sandboxes.
    for (const [kind, all] of [
      ["group", cluster.routeGroups.list()],
      ["sandbox", cluster.sandboxes.list()],
    ] as const) {
      const names = new Set(
        (all as readonly KubeObject[]).map(({ metadata }) => tableName(metadata.name, metadata.namespace ?? "")),
      );
      for (const { name, version } of await client.list(kind, ownFilter())) {
        if (names.has(name)) continue;
        const id = `${kind} ${name}`;
        orphans.add(id);
        if (!this.#orphans.has(id)) continue;
        log.info("deleting what its object in Kubernetes left behind", { [kind]: name });
        await client.remove(kind, name, version).catch((error: unknown) => {
          if (!isGone(error)) log.warn("it could not be deleted", { [kind]: name, error: controlProblem(error) });
        });
      }
    }
    this.#orphans = orphans;
    const live = new Set(cluster.sandboxes.list().map(({ metadata }) => tableName(metadata.name, metadata.namespace)));
    for (const name of this.#known.keys()) if (!live.has(name)) this.#known.delete(name);
  }
}

/** Everything that makes a difference to a Sandbox's status. */
function wordOf(view: ResourceView | undefined): string {
  if (view === undefined) return "none";
  const conditions = view.status?.conditions.map(({ type, status, reason }) => `${type}=${status}/${reason}`) ?? [];
  return [view.version, (view.status?.expiresAt ?? "").slice(0, 16), ...conditions].join(" ");
}
