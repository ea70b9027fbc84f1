// One Sandbox: its forks in the cluster, its routes in the control plane, and a status that tells the truth about both.

import { isDeepStrictEqual } from "node:util";
import type { ResourceView, Spec } from "../../client/resource-view.ts";
import type { EndpointsDocument } from "../../routing/document.ts";
import { FIELD_MANAGER, tableName } from "../../kube/object-names.ts";
import { pathOf } from "../../kube/object.ts";
import { routingKeyOf } from "../../kube/sandbox-resource.ts";
import type { SandboxResource, SandboxResourceStatus } from "../../kube/sandbox-resource.ts";
import { backOffMs } from "../../kube/back-off.ts";
import type { BackOff } from "../../kube/back-off.ts";
import type { Outcome } from "../../kube/work-queue.ts";
import { SANDBOXES } from "../cluster.ts";
import { controlProblem, errorOf, isGone, isOwn, isRefusal, ownLabels } from "../control-plane.ts";
import { injectionOf } from "../../kube/injection.ts";
import { claimText } from "../key-claims.ts";
import type { OperatorContext } from "../operator-context.ts";
import { fullName, servicesWithoutConsent, withoutConsentText } from "./consent.ts";
import { endpointList } from "./endpoints.ts";
import { finalizeSandbox } from "./finalize-sandbox.ts";
import { conditionsOf, found, foundInControl } from "./findings.ts";
import type { Found, SandboxFindings } from "./findings.ts";
import { FINALIZER } from "./forks.ts";
import type { Forks, LiveForks } from "./forks.ts";

/**
 * Between two looks at a sandbox that is not ready, longer each time that nothing has changed; one that is ready is looked at when
 * something has changed, and now and then.
 */
const NOT_READY: BackOff = { firstMs: 1500, mostMs: 30_000 };
const READY_MS = 300_000;
/** A fork that is not wanted any more goes when nothing is routed to it, or after this. */
const PRUNE_MS = 60_000;

/** What came of writing to the control plane. */
interface InControl {
  readonly view: ResourceView | undefined;
  /** What stands in the way; undefined: what is wanted is there. */
  readonly problem: Found | undefined;
  /** Try again with growing pauses. */
  readonly error?: Error;
}

type Services = ReadonlyMap<string, EndpointsDocument>;

export class SandboxReconciler {
  readonly #context: OperatorContext;
  readonly #forks: Forks;
  /** Since when a Sandbox has forks that are not wanted any more. */
  readonly #unwantedMs = new Map<string, number>();
  /** Looks at a Sandbox that is not ready, since its status was another. */
  readonly #looks = new Map<string, number>();

  constructor(context: OperatorContext, forks: Forks) {
    this.#context = context;
    this.#forks = forks;
  }

  /** `key`: namespace/name. Rejects when something could not be asked: then it is tried again. */
  async reconcile(key: string, signal: AbortSignal): Promise<Outcome> {
    const sandbox = this.#context.cluster.sandboxes.get(key);
    if (sandbox === undefined) {
      this.#unwantedMs.delete(key);
      this.#looks.delete(key);
      return undefined;
    }
    if (sandbox.metadata.deletionTimestamp !== undefined)
      return finalizeSandbox(this.#context, this.#forks, sandbox, signal);
    if (!(sandbox.metadata.finalizers ?? []).includes(FINALIZER)) await this.#hold(sandbox);

    const holder = this.#context.claims.holderInsteadOf(sandbox.metadata.uid ?? "", routingKeyOf(sandbox));
    if (holder !== undefined) {
      const message = `the routing key ${routingKeyOf(sandbox)} belongs to the older ${claimText(holder)}; give one of them another spec.key`;
      const problem = found("False", "KeyTaken", message);
      const error = await this.#withdraw(sandbox);
      const waiting = found("Unknown", "KeyTaken", "nothing is made for a sandbox without a routing key of its own");
      await this.#tell(
        sandbox,
        { Forked: waiting, Available: waiting, Routed: problem, Answered: waiting },
        undefined,
        undefined,
      );
      if (error !== undefined) throw error;
      return { againMs: READY_MS };
    }

    if (await this.#hasExpired(sandbox)) {
      const { kube, events, log } = this.#context;
      log.info("sandbox expired", { sandbox: key });
      await events.record(aboutOf(sandbox), "Normal", "Expired", `its ttl of ${sandbox.spec.ttl ?? ""} is over`);
      const { namespace, name, uid = "" } = sandbox.metadata;
      await kube.delete(pathOf(SANDBOXES, namespace, name), { uid, signal });
      return undefined;
    }

    const live = await this.#forks.apply(sandbox, signal);
    const refused = servicesWithoutConsent(sandbox, (name) => this.#context.cluster.namespaces.get(name));
    const services = servicesOf(sandbox, live, refused);
    const inControl = await this.#write(sandbox, services);
    const findings = this.#findings(sandbox, live, inControl, refused);
    await this.#prune(key, live, findings.Routed);
    const isNews = await this.#tell(sandbox, findings, live, { view: inControl.view, services });
    if (inControl.error !== undefined) throw inControl.error;
    const isReady = Object.values(findings).every(({ status }) => status === "True") && live.unwanted.length === 0;
    if (isReady) {
      this.#looks.delete(key);
      return { againMs: READY_MS };
    }
    const looks = isNews ? 1 : (this.#looks.get(key) ?? 0) + 1;
    this.#looks.set(key, looks);
    return { againMs: backOffMs(NOT_READY, looks) };
  }

  async #hold(sandbox: SandboxResource): Promise<void> {
    const { namespace, name, finalizers = [], resourceVersion } = sandbox.metadata;
    const metadata = { resourceVersion, finalizers: [...finalizers, FINALIZER] };
    await this.#context.kube.patch(pathOf(SANDBOXES, namespace, name), { metadata }, "merge", {
      fieldManager: FIELD_MANAGER,
    });
  }

  /** Whether the control plane has deleted it because its time was over, which only its audit log can tell from a loss. */
  async #hasExpired(sandbox: SandboxResource): Promise<boolean> {
    const { spec, status, metadata } = sandbox;
    const name = nameInControl(sandbox);
    if (spec.ttl === undefined || status?.name !== name || status.expiresAt === undefined) return false;
    try {
      const client = await this.#context.control.client();
      if ((await client.find("sandbox", name)) !== undefined) return false;
      const query = new URLSearchParams({ kind: "sandbox", name, limit: "1" });
      const { entries = [] } = (await client.read(`/v1/audit?${query.toString()}`)) as {
        readonly entries?: readonly { readonly action?: string; readonly at?: string }[];
      };
      const [last] = entries;
      const made = Date.parse(metadata.creationTimestamp ?? "");
      return last?.action === "expire" && Date.parse(last.at ?? "") >= made;
    } catch {
      return false; // the control plane's absence is told elsewhere
    }
  }

  /** Takes what is routed under another's key out of the control plane; what went wrong. */
  async #withdraw(sandbox: SandboxResource): Promise<Error | undefined> {
    const name = nameInControl(sandbox);
    try {
      const client = await this.#context.control.client();
      const view = await client.find("sandbox", name);
      if (view !== undefined && isOwn(view)) await client.remove("sandbox", name, undefined);
      return undefined;
    } catch (error) {
      return isGone(error) ? undefined : errorOf(error);
    }
  }

  async #write(sandbox: SandboxResource, services: Services): Promise<InControl> {
    const name = nameInControl(sandbox);
    let view: ResourceView | undefined;
    try {
      const client = await this.#context.control.client();
      view = await client.find("sandbox", name);
      if (view !== undefined && !isOwn(view)) {
        const message = `the control plane has a sandbox ${name} that was not made from Kubernetes; delete it: sidelane sandbox delete ${name}`;
        return { view: undefined, problem: found("False", "NameTaken", message) };
      }
      const options = { ifVersion: undefined, allowUnknownServices: false };
      const written = await client.replace("sandbox", name, controlSpec(sandbox, services), options);
      // What was asked about an older version says nothing about this one.
      const status = written.version === view?.version ? (view.status ?? written.status) : written.status;
      return { view: { ...written, status }, problem: undefined };
    } catch (error) {
      if (isRefusal(error)) {
        const reason = /\bkey\b/u.test(error.message) && error.status === 409 ? "KeyTaken" : "ControlRefused";
        // Most of all: a service that has just been found, and is being declared.
        return { view, problem: found("False", reason, controlProblem(error)), error: errorOf(error) };
      }
      return { view, problem: found("Unknown", "ControlUnreachable", controlProblem(error)), error: errorOf(error) };
    }
  }

  #findings(
    sandbox: SandboxResource,
    live: LiveForks,
    { view, problem }: InControl,
    refused: ReadonlySet<string>,
  ): SandboxFindings {
    const { cluster, ownNamespace } = this.#context;
    const { namespace } = sandbox.metadata;
    const Forked = live.forked;
    const Available = availableOf(live);
    let Routed = problem ?? foundInControl(view?.status, "Applied");
    const isMissing = Forked.status === "False" && live.forks.length < (sandbox.spec.forks ?? []).length;
    if (problem === undefined && injectionOf(cluster.namespaces.get(namespace), ownNamespace) === "disabled") {
      const message = `pods of namespace ${namespace} get no sidecars; switch it on: kubectl label namespace ${namespace} sidelane.dev/injection=enabled`;
      Routed = found("False", "NotInjected", message);
    } else if (problem === undefined && refused.size > 0) {
      Routed = found("False", "NotAllowed", withoutConsentText(refused, sandbox));
    } else if (Routed.status === "True" && isMissing) {
      Routed = found("False", "NotForked", Forked.message);
    }
    const Answered =
      problem === undefined
        ? foundInControl(view?.status, "Answered")
        : found("Unknown", "NotRouted", "nothing is asked before it is routed");
    return { Forked, Available, Routed, Answered };
  }

  async #prune(key: string, { unwanted }: LiveForks, { status }: Found): Promise<void> {
    if (unwanted.length === 0) return void this.#unwantedMs.delete(key);
    const sinceMs = this.#unwantedMs.get(key) ?? performance.now();
    this.#unwantedMs.set(key, sinceMs);
    // Until every sidecar has heard that the routes are gone, requests may still come.
    if (status !== "True" && performance.now() - sinceMs < PRUNE_MS) return;
    this.#context.log.info("deleting fork objects that are not wanted any more", {
      sandbox: key,
      count: unwanted.length,
    });
    await this.#forks.remove(unwanted);
  }

  /** Writes the status where it differs from what is there; whether it does. */
  async #tell(
    sandbox: SandboxResource,
    findings: SandboxFindings,
    live: LiveForks | undefined,
    routed: { readonly view: ResourceView | undefined; readonly services: Services } | undefined,
  ): Promise<boolean> {
    const { kube, events } = this.#context;
    const { namespace, name, generation } = sandbox.metadata;
    const before = sandbox.status ?? {};
    const services = [...(routed?.services ?? new Map<string, EndpointsDocument>())].map(([service, endpoints]) => ({
      name: service,
      endpoints: endpointList(endpoints),
    }));
    const names = [...services.map((one) => one.name), ...connectedOnly(sandbox, routed?.services)];
    const conditions = conditionsOf(
      before.conditions ?? [],
      findings,
      generation,
      new Date().toISOString().replace(/\.\d+Z$/u, "Z"),
    );
    const status: SandboxResourceStatus = {
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      key: routingKeyOf(sandbox),
      name: nameInControl(sandbox),
      services,
      serviceNames: names.map((one) => one.replace(new RegExp(`\\.${namespace}$`, "u"), "")).join(","),
      forks: live?.forks.map((fork) => fork.status) ?? [],
      ...expiryOf(sandbox, routed?.view),
      conditions,
    };
    if (isDeepStrictEqual(before, status)) return false;
    const removed = Object.fromEntries(
      Object.keys(before)
        .filter((field) => !(field in status))
        .map((field) => [field, null]),
    );
    const path = `${pathOf(SANDBOXES, namespace, name)}/status`;
    await kube.patch(path, { status: { ...removed, ...status } }, "merge", { fieldManager: FIELD_MANAGER });
    const ready = conditions.find(({ type }) => type === "Ready");
    const was = before.conditions?.find(({ type }) => type === "Ready");
    if (ready === undefined || (ready.status === was?.status && ready.reason === was.reason)) return true;
    // Not yet is no event; what will not come right by itself is.
    const isNews = ready.status === "True" || noteworthy.has(ready.reason);
    if (isNews)
      void events.record(aboutOf(sandbox), ready.status === "True" ? "Normal" : "Warning", ready.reason, ready.message);
    return true;
  }
}

const noteworthy = new Set<string>([
  "UnknownWorkload",
  "CannotFork",
  "ApplyRefused",
  "CrashLoop",
  "ImagePull",
  "BadConfig",
  "Unschedulable",
  "PodsRefused",
  "WrongPort",
  "KeyTaken",
  "NameTaken",
  "ControlRefused",
  "NotInjected",
  "NotAllowed",
]);

/** Events about it. */
function aboutOf(sandbox: SandboxResource) {
  return { apiVersion: sandbox.apiVersion, kind: sandbox.kind, object: sandbox };
}

function nameInControl({ metadata: { name, namespace } }: SandboxResource): string {
  return tableName(name, namespace);
}

function availableOf({ forks, forked }: LiveForks): Found {
  const problems = forks.flatMap(({ health }) => health.problem ?? []);
  const [worst] = problems;
  if (worst !== undefined) return found("False", worst.reason, problems.map(({ message }) => message).join("; "));
  for (const { routes, built } of forks) {
    for (const [service, { ready, missingPorts }] of routes) {
      if (missingPorts.length > 0) {
        const message = `the pods of ${built.name} have no port for ${missingPorts.join(", ")} of service ${service}; compare its targetPort with the containers' ports`;
        return found("False", "WrongPort", message);
      }
      if (ready.length === 0)
        return found("False", "NoAddress", `no pod of ${built.name} answers for service ${service} yet`);
    }
  }
  if (forked.status === "False") return found("False", "NotReady", forked.message);
  if (forks.length === 0) return found("True", "NothingToRun", "nothing of the sandbox runs as a fork");
  return found("True", "PodsReady", "all pods of its forks are ready");
}

/** Services of the sandbox with their endpoints: those of the forks, and those that the spec has and may have. */
function servicesOf(sandbox: SandboxResource, live: LiveForks, refused: ReadonlySet<string>): Services {
  const services = new Map<string, EndpointsDocument>(live.standing);
  for (const { routes } of live.forks) for (const [service, { endpoints }] of routes) services.set(service, endpoints);
  for (const { service, addresses, ports } of sandbox.spec.endpoints ?? []) {
    const name = fullName(service, sandbox);
    if (!refused.has(name)) services.set(name, addresses ?? ports ?? []);
  }
  return services;
}

function connectedOnly(sandbox: SandboxResource, services: Services | undefined): readonly string[] {
  const names = (sandbox.spec.connect ?? []).map(({ service }) => fullName(service, sandbox));
  return names.filter((name) => services?.has(name) !== true);
}

function controlSpec(sandbox: SandboxResource, services: Services): Spec {
  const { strict, ttl, ttlFrom, owner, description } = sandbox.spec;
  const { namespace, labels } = sandbox.metadata;
  return {
    key: routingKeyOf(sandbox),
    services: Object.fromEntries(services),
    labels: ownLabels(namespace, labels),
    ...(strict === undefined ? {} : { strict }),
    ...(ttl === undefined ? {} : { ttl }),
    ...(ttlFrom === undefined ? {} : { ttlFrom }),
    ...(owner === undefined ? {} : { owner }),
    ...(description === undefined ? {} : { description }),
  };
}

/** With a ttl from traffic it moves with each request: told to the minute, so that the status is not written all the time. */
function expiryOf(
  { spec, status }: SandboxResource,
  view: ResourceView | undefined,
): Pick<SandboxResourceStatus, "expiresAt"> {
  if (spec.ttl === undefined) return {};
  const expiresAt = view?.status?.expiresAt;
  const before = status?.expiresAt;
  if (expiresAt === undefined) return before === undefined ? {} : { expiresAt: before };
  const whole = expiresAt.replace(/\.\d+Z$/u, "Z");
  if (before !== undefined && Math.abs(Date.parse(before) - Date.parse(whole)) < 60_000) return { expiresAt: before };
  return { expiresAt: whole };
}
