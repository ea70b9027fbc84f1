// One review: a pod that is about to be stored, and what becomes of it. Guarantees:
//
// - The same pod in the same cluster gives the same patch, byte by byte.
// - A pod that has the sidecar is left alone, whoever has changed it since.
// - A pod is refused only when its own annotations ask for what cannot be; everything else is a sidecar or a reason.
// - A pod that is to be stamped with a key has a sidecar or does not run.
// - Nothing of a pod is removed but the tcpSocket of probes that the sidecar answers in its place.
// - Pure: no clock, no network, no state.

import { addElements, addMembers, removeMember } from "./json-patch.ts";
import type { Operation } from "./json-patch.ts";
import type { SidecarDefaults } from "../../config/webhook-config.ts";
import { interceptContainer, sidecarContainer, sidecarVolumes } from "./containers.ts";
import { exclusion, lostConfig, skipReasons } from "./exclusion.ts";
import type { SkipReason } from "./exclusion.ts";
import { interceptionMode } from "./interception-mode.ts";
import { moveNames } from "./named-ports.ts";
import {
  ADMIN_PORT,
  INBOUND_PORT,
  INJECTED,
  INTERCEPT,
  LISTENERS_MAX,
  OPEN_PORT,
  OUTBOUND_PORT,
  PREFIX,
  PROXY_CONFIG,
  SIDECAR,
  SIDECAR_USER,
  SKIPPED,
  VOLUMES,
} from "../../kube/injected-pod.ts";
import { rewriteProbes } from "./probes.ts";
import type { Pod, Service } from "./pod.ts";
import { proxyConfig } from "./proxy-config.ts";
import { isGuaranteed, keepsGuaranteed, resourcesOf } from "./resources.ts";
import { planInbound } from "./services.ts";
import type { InboundPort } from "./services.ts";
import { readSettings, wish } from "./settings.ts";

/** What a review looks at. */
export interface PodReview {
  readonly pod: Pod;
  readonly namespace: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  /** Of that namespace. */
  readonly services: readonly Service[];
  readonly defaults: SidecarDefaults;
  readonly cluster: ClusterFacts;
}

/** What is the same for all pods of a cluster. */
export interface ClusterFacts {
  /** Of Sidelane. */
  readonly ownNamespace: string;
  /** Minor version of Kubernetes 1.x. */
  readonly minorVersion: number;
  readonly httpPorts: HttpPorts;
  /** Of Sidelane; written on pods. */
  readonly version: string;
}

/** Where Services may speak HTTP: what a pod with `stamp` may call. */
export interface HttpPorts {
  /** Ascending. */
  readonly ports: readonly number[];
  /** Where one in an injected namespace may, and another one, `by`, says that it does not. */
  readonly disputed: readonly { readonly port: number; readonly by: string }[];
}

/** What becomes of a pod. Warnings are sentences for whoever creates it. */
export type PodOutcome =
  | { readonly kind: "injected"; readonly patch: readonly Operation[]; readonly warnings: readonly string[] }
  | {
      readonly kind: "skipped";
      readonly reason: SkipReason;
      /** At most the annotation that tells others why: those who look for pods that nobody has asked us about. */
      readonly patch: readonly Operation[];
      readonly warnings: readonly string[];
    }
  | { readonly kind: "denied"; readonly message: string };

/** Native sidecars are there by default from this version on. */
const NATIVE_MINOR = 29;

/** Reviews one pod. */
export function reviewPod(review: PodReview): PodOutcome {
  const { pod, namespace, services, defaults, cluster } = review;
  const excluded = exclusion(review);
  if (excluded === "unreadable") {
    return { kind: "denied", message: `${PREFIX}inject is neither "true" nor "false"; write one of them, in quotes` };
  }
  if (excluded === "already-injected" && lostConfig(pod)) return { ...skipped(pod, excluded), ...LOST_CONFIG };
  if (excluded !== undefined) return skipped(pod, excluded);

  const { settings, problems, warnings: unknown } = readSettings(pod);
  if (problems.length > 0) return { kind: "denied", message: problems.join("; ") };
  const warnings = [...unknown];
  const mode = interceptionMode(review, settings);
  if ("problem" in mode) return { kind: "denied", message: mode.problem };
  warnings.push(...mode.warnings);
  const native = nativeSidecar(settings.nativeSidecar, defaults, cluster);
  if (typeof native === "string") return { kind: "denied", message: native };
  if (!native && (pod.spec?.restartPolicy ?? "Always") !== "Always") return skipped(pod, "never-ends", warnings);
  const { dnsPolicy = "ClusterFirst" } = pod.spec ?? {};
  if (dnsPolicy === "Default" || dnsPolicy === "None") {
    warnings.push(
      `the pod's dnsPolicy is ${dnsPolicy}: unless its name servers know the cluster's Services, the sidecar does not find the control plane, and the app does not start; write ClusterFirst, or ${PREFIX}inject: "false"`,
    );
  }
  const resources = resourcesOf(pod, settings, defaults);
  if (typeof resources === "string") return { kind: "denied", message: resources };

  const excludedPorts = defaults.excludeInboundPorts;
  const planned = planInbound({ pod, namespace: namespace.name, settings, services, excludedPorts });
  warnings.push(...planned.warnings);
  const named =
    mode.mode === "named-ports"
      ? moveNames(pod, namespace.name, planned.ports, planned.by)
      : { ports: planned.ports, operations: [], warnings: [] };
  warnings.push(...named.warnings);
  const inbound = { ...planned, ports: named.ports };
  const outboundPorts = outboundPortsOf(settings, cluster, warnings);
  if (inbound.ports.length + outboundPorts.length === 0) {
    return skipped(pod, planned.ports.length === 0 ? "no-ports" : "no-named-ports", warnings);
  }

  const taken = takenBySomebody(pod, inbound.ports, outboundPorts.length);
  if (taken !== undefined) return skipped(pod, taken, warnings);
  if (!native && mode.mode === "redirect" && outboundPorts.length > 0 && (pod.spec?.initContainers ?? []).length > 0) {
    warnings.push("requests of the pod's init containers go past the sidecar, which starts after them here");
  }
  if (isGuaranteed(pod) && resources !== undefined && !keepsGuaranteed(resources)) {
    warnings.push(
      `the pod's class of service changes from Guaranteed to Burstable; set request and limit of the sidecar to the same (${PREFIX}cpu-request, ${PREFIX}cpu-limit, ${PREFIX}memory-request, ${PREFIX}memory-limit) to keep it`,
    );
  }

  const asked = {
    settings,
    defaults,
    resources,
    graceS: pod.spec?.terminationGracePeriodSeconds,
    inbound: inbound.ports,
    outboundPorts,
  };
  const intercept = mode.mode === "redirect" ? [interceptContainer(asked)] : [];
  const sidecar = sidecarContainer(asked, native);
  const config = proxyConfig({ ...asked, inbound });
  const { metadata, spec } = pod;
  const annotations = {
    [INJECTED]: cluster.version,
    [PROXY_CONFIG]: config,
    ...scrapeAnnotations(pod, defaults),
    ...scaleDownAnnotation(pod),
    ...(native ? {} : defaultContainer(pod)),
  };
  if (!fits(metadata?.annotations, annotations)) return skipped(pod, "annotations-full", warnings);
  const patch: readonly Operation[] = [
    ...metadataOf(metadata),
    ...removeMember("/metadata/annotations", metadata?.annotations, SKIPPED),
    // These name containers as they stand in the pod that came, so they go before the containers that are added.
    ...rewriteProbes(
      pod,
      isIntercepted(
        mode.mode,
        named.ports.map(({ target }) => target),
      ),
    ),
    ...named.operations,
    ...addMembers("/metadata/annotations", metadata?.annotations, annotations),
    ...addElements("/spec/volumes", spec?.volumes, sidecarVolumes(defaults), "last"),
    ...addElements("/spec/imagePullSecrets", spec?.imagePullSecrets, missingSecrets(pod, defaults), "last"),
    ...(native
      ? addElements("/spec/initContainers", spec?.initContainers, [...intercept, sidecar], "first")
      : [
          // Last: until the sidecar runs nothing may be sent to it.
          ...addElements("/spec/initContainers", spec?.initContainers, intercept, "last"),
          ...addElements("/spec/containers", spec?.containers, [sidecar], "first"),
        ]),
  ];
  return { kind: "injected", patch, warnings };
}

/** Such a copy waits for its sidecar for ever. */
const LOST_CONFIG = {
  warnings: [
    `the pod has the sidecar's containers, and not their config, which is the annotation ${PROXY_CONFIG}: it cannot start. Copy the annotations as well (kubectl debug --copy-to has --keep-annotations), or leave the containers ${INTERCEPT} and ${SIDECAR} out`,
  ],
};

/** Whose injection is nobody's wish, or none of our business. */
const NOT_MEANT: ReadonlySet<SkipReason> = new Set([
  "own-namespace",
  "system-namespace",
  "already-injected",
  "static-pod",
  "opted-out",
  "namespace-not-enabled",
  "not-requested",
]);

/** One place decides it: the caller who asked for a sidecar hears of every reason, the others of the strange ones. */
function skipped(pod: Pod, reason: SkipReason, warnings: readonly string[] = []): PodOutcome {
  const stamp = `${PREFIX}stamp`;
  const isMeant = !NOT_MEANT.has(reason) || reason === "opted-out";
  if (pod.metadata?.annotations?.[stamp] !== undefined && isMeant) {
    const message = `annotation ${stamp}: the pod can have no sidecar, because ${skipReasons[reason]}; without one its requests would go to the baseline`;
    return { kind: "denied", message: [message, ...warnings].join("; ") };
  }
  const expected = NOT_MEANT.has(reason) || reason === "no-ports";
  const quiet = expected && (wish(pod) !== "in" || reason === "already-injected");
  const sentence = `no sidecar: ${skipReasons[reason]}`;
  const patch = NOT_MEANT.has(reason) ? [] : markSkipped(pod, reason);
  return { kind: "skipped", reason, patch, warnings: quiet ? [] : [sentence, ...warnings] };
}

function markSkipped({ metadata }: Pod, reason: SkipReason): readonly Operation[] {
  const annotations = metadata?.annotations;
  if (annotations?.[SKIPPED] === reason || !fits(annotations, { [SKIPPED]: reason })) return [];
  return [...metadataOf(metadata), ...addMembers("/metadata/annotations", annotations, { [SKIPPED]: reason })];
}

function metadataOf(metadata: Pod["metadata"]): readonly Operation[] {
  return metadata === undefined ? [{ op: "add", path: "/metadata", value: {} }] : [];
}

function nativeSidecar(
  asked: boolean | undefined,
  { nativeSidecar: byDefault }: SidecarDefaults,
  { minorVersion }: ClusterFacts,
): boolean | string {
  const able = minorVersion >= NATIVE_MINOR || byDefault === "always";
  if (asked === true && !able) {
    return `annotation ${PREFIX}native-sidecar: "true" needs Kubernetes 1.${NATIVE_MINOR}, this is 1.${minorVersion}; leave it out, and the sidecar is an ordinary container`;
  }
  return asked ?? (able && byDefault !== "never");
}

function outboundPortsOf(
  { outboundPorts, stamp }: { readonly outboundPorts: readonly number[]; readonly stamp?: string },
  { httpPorts }: ClusterFacts,
  warnings: string[],
): readonly number[] {
  if (outboundPorts.length > 0 || stamp === undefined) return outboundPorts;
  const ports = httpPorts.ports.slice(0, LISTENERS_MAX);
  const left = httpPorts.ports.length - ports.length;
  for (const { port, by } of httpPorts.disputed) {
    warnings.push(
      `port ${port} is not stamped, because Service ${by} says that it does not speak HTTP there: requests to other Services at ${port} go to the baseline; where the pod calls none but HTTP, name it in ${PREFIX}outbound-ports`,
    );
  }
  if (left > 0) {
    warnings.push(
      `the cluster's Services have ${left} more ports than can be stamped; name them in ${PREFIX}outbound-ports`,
    );
  }
  if (ports.length === 0) {
    warnings.push(`no Service of the cluster has a port that may be HTTP; name some in ${PREFIX}outbound-ports`);
  }
  return ports;
}

/** By redirect every number is intercepted; by named ports only what goes by the name. */
function isIntercepted(mode: "redirect" | "named-ports", targets: readonly number[]) {
  return (written: number | string, port: number): boolean =>
    targets.includes(port) && (mode === "redirect" || typeof written === "string");
}

function takenBySomebody(pod: Pod, inbound: readonly InboundPort[], outbound: number): SkipReason | undefined {
  const { spec } = pod;
  const containers = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])];
  const needed = (port: number): boolean =>
    port === ADMIN_PORT ||
    port === OPEN_PORT ||
    (port >= INBOUND_PORT && port < INBOUND_PORT + inbound.length) ||
    (port >= OUTBOUND_PORT && port < OUTBOUND_PORT + outbound);
  const declared = containers.flatMap(({ ports = [] }) => ports.map(({ containerPort }) => containerPort));
  if ([...declared, ...inbound.map(({ target }) => target)].some(needed)) return "ports-taken";
  const users = [spec?.securityContext, ...containers.map(({ securityContext }) => securityContext)];
  if (users.some((context) => context?.runAsUser === SIDECAR_USER)) return "user-taken";
  const names: readonly string[] = Object.values(VOLUMES);
  return (spec?.volumes ?? []).some(({ name }) => names.includes(name)) ? "name-taken" : undefined;
}

/** All annotations of an object together, names and values, in bytes. */
const ANNOTATIONS_BYTES_MAX = 256 * 1024;

/** Whether a pod can have these annotations besides its own: the API server would refuse it otherwise. */
function fits(own: Readonly<Record<string, string>> | undefined, added: Readonly<Record<string, string>>): boolean {
  let bytes = 0;
  for (const [name, text] of Object.entries({ ...own, ...added })) bytes += Buffer.byteLength(name + text);
  return bytes <= ANNOTATIONS_BYTES_MAX;
}

/** Only where the pod has none: a pod is scraped at one port, and its own metrics come first. */
function scrapeAnnotations({ metadata }: Pod, { scrape }: SidecarDefaults): Readonly<Record<string, string>> {
  const own = Object.keys(metadata?.annotations ?? {}).some((name) => name.startsWith("prometheus.io/"));
  if (!scrape || own) return {};
  return { "prometheus.io/scrape": "true", "prometheus.io/port": String(OPEN_PORT), "prometheus.io/path": "/metrics" };
}

/** The cluster autoscaler keeps nodes whose pods have something on their disk, and what the sidecar has there can be lost. */
function scaleDownAnnotation({ metadata }: Pod): Readonly<Record<string, string>> {
  const name = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
  const others = metadata?.annotations?.[name]?.trim() ?? "";
  return { [name]: others === "" ? VOLUMES.data : `${others},${VOLUMES.data}` };
}

/** `kubectl logs` and `kubectl exec` mean the first container, which was the app's. */
function defaultContainer({ metadata, spec }: Pod): Readonly<Record<string, string>> {
  const name = "kubectl.kubernetes.io/default-container";
  const [first] = spec?.containers ?? [];
  return first === undefined || metadata?.annotations?.[name] !== undefined ? {} : { [name]: first.name };
}

function missingSecrets({ spec }: Pod, { imagePullSecrets }: SidecarDefaults): readonly { readonly name: string }[] {
  const has = (spec?.imagePullSecrets ?? []).map(({ name }) => name);
  return imagePullSecrets.filter((name) => !has.includes(name)).map((name) => ({ name }));
}
