// All work of the replica that leads: what is followed, what each change means for whom, and the queues that do it.

import type { Log } from "../base/log.ts";
import type { KubeClient } from "../kube/client.ts";
import { EventRecorder } from "../kube/event-recorder.ts";
import type { Change } from "../kube/informer.ts";
import { INJECTION } from "../kube/injected-pod.ts";
import { FORK_LABEL, SANDBOX_LABEL, tableName } from "../kube/object-names.ts";
import { keyOf } from "../kube/object.ts";
import type { KubeObject } from "../kube/object.ts";
import { routingKeyOf, SANDBOX_KIND } from "../kube/sandbox-resource.ts";
import type { SandboxResource, WorkloadKind } from "../kube/sandbox-resource.ts";
import { WorkQueue } from "../kube/work-queue.ts";
import type { Outcome } from "../kube/work-queue.ts";
import { Cluster, workloadKinds } from "./cluster.ts";
import type { ControlPlane } from "./control-plane.ts";
import { ControlWatch } from "./control-watch.ts";
import { KeyClaims } from "./key-claims.ts";
import type { Claim } from "./key-claims.ts";
import { MissingSidecars } from "./missing-sidecars.ts";
import type { OperatorContext } from "./operator-context.ts";
import type { OperatorMetrics, QueueName } from "./metrics.ts";
import { reconcileGroup } from "./reconcile-group.ts";
import { reconcileServices } from "./reconcile-services.ts";
import { SANDBOXES_FROM_ANNOTATION } from "./sandbox/consent.ts";
import { Forks } from "./sandbox/forks.ts";
import { SandboxReconciler } from "./sandbox/reconcile-sandbox.ts";

export interface ReconcilersOptions {
  readonly kube: KubeClient;
  readonly control: ControlPlane;
  readonly log: Log;
  readonly ownNamespace: string;
  readonly clusterDomain: string;
  readonly metrics: Pick<OperatorMetrics, "reconciled">;
  /** Told of a namespace that has just been made one with sidecars. */
  readonly onInjected: (namespace: string) => void;
}

export class Reconcilers {
  readonly cluster: Cluster;
  readonly missing: MissingSidecars;
  readonly queues: Readonly<Record<QueueName, WorkQueue>>;
  readonly #options: ReconcilersOptions;
  readonly #context: OperatorContext;
  readonly #claims = new KeyClaims();
  readonly #watch: ControlWatch;
  readonly #lastProblems = new Map<string, string>();

  constructor(options: ReconcilersOptions) {
    this.#options = options;
    const { kube, control, log, ownNamespace, clusterDomain } = options;
    this.cluster = new Cluster(kube, log);
    this.queues = {
      services: this.#queue("services", 4, (key) => reconcileServices(this.#context, key)),
      sandboxes: this.#queue("sandboxes", 8, (key, signal) => sandboxes.reconcile(key, signal)),
      groups: this.#queue("groups", 4, (key) => reconcileGroup(this.#context, key)),
      pods: this.#queue("pods", 4, (key) => this.missing.reconcile(key)),
    };
    this.#context = {
      kube,
      cluster: this.cluster,
      control,
      events: new EventRecorder(kube, "sidelane-operator", log),
      claims: this.#claims,
      log,
      ownNamespace,
      clusterDomain,
      queues: this.queues,
    };
    const sandboxes = new SandboxReconciler(this.#context, new Forks(this.#context));
    this.missing = new MissingSidecars(this.#context);
    this.#watch = new ControlWatch(this.#context);
  }

  /** Works until `signal` is aborted, and resolves when all has ended. */
  async run(signal: AbortSignal): Promise<void> {
    this.#listen();
    await this.cluster.start(signal);
    const watching = signal.aborted ? undefined : this.#watch.run(signal);
    if (!signal.aborted) {
      for (const queue of Object.values(this.queues)) queue.start();
      this.#options.log.info("following the cluster", {
        namespaces: this.cluster.namespaces.list().length,
        services: this.cluster.services.list().length,
        sandboxes: this.cluster.sandboxes.list().length,
      });
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    }
    await Promise.all(Object.values(this.queues).map((queue) => queue.stop()));
    await watching;
    await this.cluster.stop();
  }

  /** What does not work at the moment. */
  problems(): readonly string[] {
    return [...new Set([...this.cluster.problems(), ...this.#lastProblems.values()])].slice(0, 20);
  }

  /** Sandboxes by the status of `Ready`. */
  sandboxCounts(): ReadonlyMap<string, number> {
    const counts = new Map<string, number>([
      ["True", 0],
      ["False", 0],
      ["Unknown", 0],
    ]);
    for (const { status } of this.cluster.sandboxes.list()) {
      const ready = status?.conditions?.find(({ type }) => type === "Ready")?.status ?? "Unknown";
      counts.set(ready, (counts.get(ready) ?? 0) + 1);
    }
    return counts;
  }

  #queue(name: QueueName, workers: number, work: (key: string, signal: AbortSignal) => Promise<Outcome>): WorkQueue {
    return new WorkQueue({
      work,
      workers,
      onDone: ({ key, tookMs, error, againMs }) => {
        const { metrics, log } = this.#options;
        metrics.reconciled(name, tookMs, error !== undefined);
        const id = `${name} ${key}`;
        if (error === undefined) return void this.#lastProblems.delete(id);
        const [message = ""] = (error instanceof Error ? error.message : String(error)).split("\n");
        // The same again and again is one line.
        if (this.#lastProblems.get(id) === message) return;
        this.#lastProblems.set(id, message);
        log.warn("a reconciliation failed and is tried again", { queue: name, key, error: message, againMs });
      },
    });
  }

  #listen(): void {
    const { cluster, queues } = this;
    cluster.namespaces.onChange((change) => this.#onNamespace(change));
    cluster.services.onChange(({ object, before }) => {
      const { namespace = "" } = object.metadata;
      if (object.metadata.labels?.[FORK_LABEL] !== undefined) this.#toOwner(object);
      else {
        queues.services.add(namespace);
        // Selectors of Services decide which labels a fork may have.
        if (before?.metadata.resourceVersion !== object.metadata.resourceVersion) this.#toSandboxesOf(namespace);
      }
    });
    cluster.slices.onChange(({ object }) => this.#toOwner(object));
    cluster.forkPods.onChange(({ object }) => this.#toOwner(object));
    for (const kind of workloadKinds) cluster.workloads[kind].onChange((change) => this.#onWorkload(kind, change));
    cluster.sandboxes.onChange(({ type, object }) => {
      const key = keyOf(object);
      this.#wake(
        type === "delete" ? this.#claims.drop(object) : this.#claims.put(SANDBOX_KIND, object, routingKeyOf(object)),
      );
      queues.sandboxes.add(key);
      if (type !== "update" || object.metadata.deletionTimestamp !== undefined) this.#toGroupsWith(object);
    });
    cluster.routeGroups.onChange(({ type, object }) => {
      const routingKey = object.spec.key ?? object.metadata.name;
      this.#wake(type === "delete" ? this.#claims.drop(object) : this.#claims.put("RouteGroup", object, routingKey));
      queues.groups.add(keyOf(object));
    });
  }

  #onNamespace({ type, object, before }: Change<KubeObject>): void {
    const { name } = object.metadata;
    const label = (one: KubeObject | undefined): string | undefined => one?.metadata.labels?.[INJECTION];
    const consent = (one: KubeObject | undefined): string | undefined =>
      one?.metadata.annotations?.[SANDBOXES_FROM_ANNOTATION];
    this.queues.services.add(name);
    if (consent(object) !== consent(before)) {
      for (const sandbox of this.cluster.sandboxes.list()) {
        const { endpoints = [], connect = [] } = sandbox.spec;
        if ([...endpoints, ...connect].some(({ service }) => service.endsWith(`.${name}`)))
          this.queues.sandboxes.add(keyOf(sandbox));
      }
    }
    if (type === "update" && label(object) === label(before)) return;
    if (type !== "delete" && label(object) !== undefined) this.#options.onInjected(name);
    this.#toSandboxesOf(name);
    for (const pod of this.cluster.workloads.Pod.list())
      if (pod.metadata.namespace === name) this.queues.pods.add(keyOf(pod));
  }

  #onWorkload(kind: WorkloadKind, { type, object, before }: Change<KubeObject>): void {
    const { namespace = "", name, labels = {}, generation } = object.metadata;
    // Whether it lacks a sidecar is decided with all namespaces known, by whoever works on it.
    if (kind === "Pod") this.queues.pods.add(keyOf(object));
    if (labels[FORK_LABEL] !== undefined) return this.#toOwner(object);
    // Its spec is what it was: only pods came and went.
    if (kind !== "Pod" && type === "update" && generation !== undefined && generation === before.metadata.generation)
      return;
    for (const sandbox of this.#sandboxesOf(namespace)) {
      const forks = sandbox.spec.forks ?? [];
      if (forks.some(({ workload }) => workload.kind === kind && workload.name === name))
        this.queues.sandboxes.add(keyOf(sandbox));
    }
  }

  #toOwner({ metadata: { namespace = "", labels = {}, ownerReferences = [] } }: KubeObject): void {
    const owner = ownerReferences.find(({ kind }) => kind === SANDBOX_KIND)?.name;
    const name = owner ?? labels[SANDBOX_LABEL];
    if (name === undefined) return;
    const key = `${namespace}/${name}`;
    if (this.cluster.sandboxes.get(key) !== undefined) return this.queues.sandboxes.add(key);
    // A label is shorter than a name may be.
    if (owner === undefined) this.#toSandboxesOf(namespace);
  }

  #toSandboxesOf(namespace: string): void {
    for (const sandbox of this.#sandboxesOf(namespace)) this.queues.sandboxes.add(keyOf(sandbox));
  }

  #sandboxesOf(namespace: string): readonly SandboxResource[] {
    return this.cluster.sandboxes.list().filter(({ metadata }) => metadata.namespace === namespace);
  }

  /** Groups that name it, or choose by labels. */
  #toGroupsWith({ metadata: { name, namespace } }: SandboxResource): void {
    const full = tableName(name, namespace);
    for (const group of this.cluster.routeGroups.list()) {
      const { sandboxes } = group.spec;
      const isNear = group.metadata.namespace === namespace;
      const isAbout =
        sandboxes === undefined ? isNear : sandboxes.includes(full) || (isNear && sandboxes.includes(name));
      if (isAbout) this.queues.groups.add(keyOf(group));
    }
  }

  #wake(claims: readonly Claim[]): void {
    for (const { kind, namespace, name } of claims) {
      (kind === SANDBOX_KIND ? this.queues.sandboxes : this.queues.groups).add(`${namespace}/${name}`);
    }
  }
}
