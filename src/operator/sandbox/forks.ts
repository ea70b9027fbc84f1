// The forks of one Sandbox in the cluster: built from what is live, applied, and those that are not wanted any more deleted.

import { createHash } from "node:crypto";
import { nearest } from "../../routing/nearest.ts";
import { KubeError } from "../../kube/kube-error.ts";
import {
  API_GROUP,
  FIELD_MANAGER,
  FORK_LABEL,
  SANDBOX_LABEL,
  SERVICE_ANNOTATION,
  tableName,
} from "../../kube/object-names.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject, KubernetesObject, ResourceType } from "../../kube/object.ts";
import { workloadApis, workloadText } from "../../kube/sandbox-resource.ts";
import type { ForkSpec, ForkStatus, SandboxResource, WorkloadKind } from "../../kube/sandbox-resource.ts";
import { tcpPorts } from "../../kube/selectors.ts";
import type { EndpointsDocument } from "../../routing/document.ts";
import { SERVICES, workloadKinds } from "../cluster.ts";
import { buildFork } from "../fork/fork.ts";
import type { BuiltFork, ForkRoute } from "../fork/fork.ts";
import { forkName } from "../fork/name.ts";
import { takenBy } from "../fork/unforkable.ts";
import type { OperatorContext } from "../operator-context.ts";
import { routeEndpoints, SERVICE_NAME_LABEL } from "./endpoints.ts";
import type { RouteEndpoints } from "./endpoints.ts";
import { found } from "./findings.ts";
import type { Found } from "./findings.ts";
import { forkHealth } from "./fork-health.ts";
import type { ForkHealth } from "./fork-health.ts";
import { Surroundings } from "./surroundings.ts";

/** Finalizer of Sandboxes, and of fork objects: until nothing is routed to them any more. */
export const FINALIZER = `${API_GROUP}/routes`;

/** One fork as it stands. */
export interface LiveFork {
  readonly built: BuiltFork;
  readonly status: ForkStatus;
  readonly health: ForkHealth;
  /** By service of the table. */
  readonly routes: ReadonlyMap<string, RouteEndpoints>;
}

export interface LiveForks {
  readonly forks: readonly LiveFork[];
  /** What `Forked` says. */
  readonly forked: Found;
  /** What somebody should know. */
  readonly remarks: readonly string[];
  /**
   * By service of the table, where forks lead that cannot be built at the moment, because their baseline is away or has changed: what
   * runs goes on, and requests with the key must not end at the baseline meanwhile.
   */
  readonly standing: ReadonlyMap<string, EndpointsDocument>;
  /** Objects of forks that are not wanted any more. */
  readonly unwanted: readonly { readonly type: ResourceType; readonly object: KubeObject }[];
}

const typesByKind: ReadonlyMap<string, ResourceType> = new Map([
  ...workloadKinds.map((kind) => [kind, workloadApis[kind]] as const),
  ["Service", SERVICES],
]);
/** Objects of which it is remembered what was applied. */
const APPLIED_MAX = 20_000;

export class Forks {
  readonly #context: OperatorContext;
  readonly #surroundings: Surroundings;
  /** What was applied to an object, and what came of it: applying it again would change nothing. */
  readonly #applied = new Map<string, { readonly hash: string; readonly live: KubernetesObject }>();

  constructor(context: OperatorContext) {
    this.#context = context;
    this.#surroundings = new Surroundings(context.kube, context.cluster);
  }

  /** Builds and applies all; rejects when the API server cannot be asked. */
  async apply(sandbox: SandboxResource, signal: AbortSignal): Promise<LiveForks> {
    const { namespace } = sandbox.metadata;
    const specs = sandbox.spec.forks ?? [];
    const forks: LiveFork[] = [];
    const problems: Found[] = [];
    const remarks: string[] = [];
    const wanted = new Set<string>();
    const kept = new Set<string>();
    for (const forkSpec of specs) {
      const workload = await this.#surroundings.baseline(namespace, forkSpec.workload);
      if (workload === undefined) {
        problems.push(found("False", "UnknownWorkload", this.#unknownText(namespace, forkSpec)));
        // What was made from it while it was there stays: it may be back in a moment.
        kept.add(forkName(sandbox, forkSpec.workload));
        continue;
      }
      const services = this.#context.cluster.servicesOf(namespace);
      const others = await this.#surroundings.others(namespace);
      const built = buildFork({ sandbox, namespace, workload, services, forkSpec, others });
      remarks.push(...built.remarks);
      if (built.problems.length > 0) {
        problems.push(found("False", "CannotFork", `${workloadText(forkSpec.workload)}: ${built.problems.join("; ")}`));
        kept.add(built.name);
      } else {
        const refused = await this.#applyAll(sandbox, built, wanted, signal);
        if (refused !== undefined) {
          problems.push(refused);
          kept.add(built.name);
        }
      }
      forks.push(this.#live(sandbox, forkSpec, built));
    }
    const [first] = problems;
    const message = problems.map((one) => one.message).join("; ");
    const ok = specs.length === 0 ? found("True", "NoForks", "the sandbox has no forks") : upToDate(remarks);
    const forked = first === undefined ? ok : { ...first, message };
    const standing = this.#standing(sandbox, kept);
    return { forks, forked, remarks, standing, unwanted: this.#unwanted(sandbox, wanted, kept) };
  }

  /** Everything that was made for a Sandbox. */
  owned(sandbox: SandboxResource): LiveForks["unwanted"] {
    return this.#unwanted(sandbox, new Set(), new Set());
  }

  /** Deletes objects, or lets go of those that somebody deletes already. */
  async remove(objects: LiveForks["unwanted"]): Promise<void> {
    const { kube } = this.#context;
    for (const { type, object } of objects) {
      const { namespace, name, uid, deletionTimestamp, finalizers = [] } = object.metadata;
      const path = pathOf(type, namespace, name);
      if (deletionTimestamp === undefined) await kube.delete(path, uid === undefined ? {} : { uid });
      if (!finalizers.includes(FINALIZER)) continue;
      await letGo(this.#context, path);
    }
  }

  async #applyAll(
    sandbox: SandboxResource,
    built: BuiltFork,
    wanted: Set<string>,
    signal: AbortSignal,
  ): Promise<Found | undefined> {
    let refused: Found | undefined;
    for (const object of built.objects) {
      wanted.add(idOf(object.kind, object.metadata.name));
      const taken = this.#taken(sandbox, object);
      if (taken !== undefined) {
        refused = found("False", "ApplyRefused", taken);
        continue;
      }
      try {
        await this.#applyOne(sandbox, object, signal);
      } catch (error) {
        // 409 is another's doing, and 429 and 5xx pass; the rest is the API server's word about the object.
        if (!(error instanceof KubeError) || error.status < 400 || error.status >= 500) throw error;
        if (error.status === 409 || error.status === 429) throw error;
        refused = found("False", "ApplyRefused", `${object.kind}/${object.metadata.name}: ${error.message}`);
      }
    }
    return refused;
  }

  async #applyOne(sandbox: SandboxResource, object: KubernetesObject, signal: AbortSignal): Promise<void> {
    const { namespace } = sandbox.metadata;
    const { kind } = object;
    const { name } = object.metadata;
    const type = typesByKind.get(kind);
    if (type === undefined) throw new Error(`a fork cannot have objects of kind ${kind}`);
    const id = `${namespace}/${idOf(kind, name)}`;
    const hash = createHash("sha256").update(JSON.stringify(object)).digest("hex");
    const known = this.#applied.get(id);
    const seen = this.#seen(kind, namespace, name);
    const isSame = known?.hash === hash && seen?.metadata.uid === known.live.metadata.uid;
    if (isSame && seen?.metadata.resourceVersion === known?.live.metadata.resourceVersion) return;
    const path = pathOf(type, namespace, name);
    const how = { fieldManager: FIELD_MANAGER, force: true, signal };
    let live: KubernetesObject;
    try {
      live = await this.#context.kube.apply<KubernetesObject>(path, object, how);
    } catch (error) {
      // A pod or a job cannot be changed into what it has to be: in its place comes another.
      if (
        !(error instanceof KubeError) ||
        error.status !== 422 ||
        seen === undefined ||
        (kind !== "Pod" && kind !== "Job")
      )
        throw error;
      await this.remove([{ type, object: seen }]);
      throw new KubeError(409, "Replaced", `${kind}/${name} is deleted and made again with the new spec`);
    }
    if (this.#applied.size >= APPLIED_MAX) this.#applied.clear();
    this.#applied.set(id, { hash, live });
    if (known?.hash === hash) return;
    const { log, events } = this.#context;
    log.info("applied", { sandbox: `${namespace}/${sandbox.metadata.name}`, object: idOf(kind, name) });
    if (kind === "Service") return;
    const message = `${seen === undefined ? "Made" : "Updated"} ${kind} ${name}`;
    void events.record(
      { apiVersion: sandbox.apiVersion, kind: sandbox.kind, object: sandbox },
      "Normal",
      "Forked",
      message,
    );
  }

  #live(sandbox: SandboxResource, forkSpec: ForkSpec, built: BuiltFork): LiveFork {
    const { cluster } = this.#context;
    const { namespace } = sandbox.metadata;
    // Of another kind than the baseline where a plain pod becomes a job.
    const ofKind = built.objects.find((object) => object.kind !== "Service");
    const name = ofKind?.metadata.name ?? built.name;
    const kind = (ofKind?.kind ?? forkSpec.workload.kind) as WorkloadKind;
    const workload = this.#applied.get(`${namespace}/${idOf(kind, name)}`)?.live;
    const pods = cluster.forkPods
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace && metadata.labels?.[FORK_LABEL] === built.name)
      .filter(({ metadata }) => metadata.labels?.[SANDBOX_LABEL] === ofKind?.metadata.labels?.[SANDBOX_LABEL]);
    const health = forkHealth({ kind, workload, pods });
    const routes = new Map(
      built.routes.map((route) => [tableName(route.service, namespace), this.#endpointsOf(namespace, route)] as const),
    );
    const status = { workload: workloadText(forkSpec.workload), name, ready: health.ready, image: built.image };
    return { built, status, health, routes };
  }

  #endpointsOf(namespace: string, route: Pick<ForkRoute, "forkService" | "ports">): RouteEndpoints {
    const { cluster, clusterDomain } = this.#context;
    const slices = cluster.slices
      .list()
      .filter(({ metadata }) => metadata.namespace === namespace)
      .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME_LABEL] === route.forkService);
    return routeEndpoints(route, slices, `${route.forkService}.${namespace}.svc.${clusterDomain}`);
  }

  /** Read from the Services that were made for these forks: after a restart nobody remembers what was built. */
  #standing(sandbox: SandboxResource, kept: ReadonlySet<string>): LiveForks["standing"] {
    const { namespace, uid } = sandbox.metadata;
    const standing = new Map<string, EndpointsDocument>();
    if (kept.size === 0) return standing;
    for (const service of this.#context.cluster.servicesOf(namespace)) {
      const { name, labels = {}, annotations = {}, ownerReferences = [] } = service.metadata;
      const answersFor = annotations[SERVICE_ANNOTATION];
      if (answersFor === undefined || !kept.has(labels[FORK_LABEL] ?? "")) continue;
      if (!ownerReferences.some((owner) => owner.uid === uid && owner.kind === sandbox.kind)) continue;
      const ports = tcpPorts(service).map((port) => ({
        name: port.name,
        containerPort: typeof port.targetPort === "number" ? port.targetPort : port.port,
        port: port.port,
      }));
      standing.set(answersFor, this.#endpointsOf(namespace, { forkService: name, ports }).endpoints);
    }
    return standing;
  }

  /** Why an object must not be applied: with force, somebody else's of the same name would become the fork's. */
  #taken(sandbox: SandboxResource, { apiVersion, kind, metadata }: KubernetesObject): string | undefined {
    const seen = this.#seen(kind, sandbox.metadata.namespace, metadata.name);
    return seen === undefined ? undefined : takenBy({ ...seen, apiVersion, kind }, sandbox);
  }

  #seen(kind: string, namespace: string, name: string): KubeObject | undefined {
    const { cluster } = this.#context;
    const key = `${namespace}/${name}`;
    return kind === "Service" ? cluster.services.get(key) : cluster.workloads[kind as WorkloadKind].get(key);
  }

  #unwanted(sandbox: SandboxResource, wanted: ReadonlySet<string>, kept: ReadonlySet<string>): LiveForks["unwanted"] {
    const { namespace, uid } = sandbox.metadata;
    const unwanted: { type: ResourceType; object: KubeObject }[] = [];
    for (const { type, object } of this.#context.cluster.forkObjects(namespace)) {
      const { name, labels = {}, ownerReferences = [] } = object.metadata;
      if (!ownerReferences.some((owner) => owner.uid === uid && owner.kind === sandbox.kind)) continue;
      if (kept.has(labels[FORK_LABEL] ?? "") || wanted.has(idOf(kindOf(type), name))) continue;
      unwanted.push({ type, object });
    }
    return unwanted;
  }

  #unknownText(namespace: string, { workload: { kind, name } }: ForkSpec): string {
    const names = this.#context.cluster.workloads[kind].list().flatMap(({ metadata }) => {
      const isBaseline = metadata.namespace === namespace && metadata.labels?.[FORK_LABEL] === undefined;
      return isBaseline ? [metadata.name] : [];
    });
    const guess = nearest(name, names);
    const hint =
      guess === undefined ? `see kubectl -n ${namespace} get ${workloadApis[kind].plural}` : `did you mean ${guess}?`;
    return `there is no ${kind} ${name} in namespace ${namespace}; ${hint}`;
  }
}

/** Takes our finalizer away; nothing when the object is gone. */
export async function letGo({ kube }: Pick<OperatorContext, "kube">, path: string): Promise<void> {
  const live = await kube.find(path);
  const { finalizers = [], resourceVersion } = live?.metadata ?? {};
  if (live === undefined || !finalizers.includes(FINALIZER)) return;
  const metadata = { resourceVersion, finalizers: finalizers.filter((one) => one !== FINALIZER) };
  try {
    await kube.patch(path, { metadata }, "merge", { fieldManager: FIELD_MANAGER });
  } catch (error) {
    if (!(error instanceof KubeError) || error.status !== 404) throw error;
  }
}

function upToDate(remarks: readonly string[]): Found {
  const more = remarks.length === 0 ? "" : ` (${remarks.join("; ")})`;
  return found("True", "UpToDate", `the forks are the baseline of now with the sandbox's changes${more}`);
}

function idOf(kind: string, name: string): string {
  return `${kind}/${name}`;
}

function kindOf(type: ResourceType): string {
  for (const [kind, one] of typesByKind) if (one === type) return kind;
  return "";
}
