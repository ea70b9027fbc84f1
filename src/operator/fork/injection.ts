// Takes an injected sidecar out again. A plain Pod is live only with it, and a template has it where somebody injected by hand;
// the fork's pods get their own when they are made.

import { parse } from "yaml";
import { isMap } from "../../base/is-map.ts";
import { INJECTED, INTERCEPT, OPEN_PORT, PROXY_CONFIG, SIDECAR, VOLUMES } from "../../kube/injected-pod.ts";
import type { JsonMap, Labels } from "../../kube/object.ts";
import { mapAt, mapsAt, textAt, withList } from "./json.ts";

const CONTAINERS = new Set([SIDECAR, INTERCEPT]);
const volumeNames: ReadonlySet<string> = new Set(Object.values(VOLUMES));
/** A TCP probe of an intercepted port asks this of the sidecar instead: it would accept for an app that is dead. */
const REACH = /^\/reach\/tcp\/([0-9]{1,5})$/;
const EVICTION = "cluster-autoscaler.kubernetes.io/safe-to-evict-local-volumes";
const DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container";

export interface NotInjected {
  readonly spec: JsonMap;
  readonly annotations: Labels;
}

/**
 * The pod without the sidecar, and with what the injection had changed for it: probes, ports behind names, annotations. Pull secrets
 * stay, because they may have been the pod's own.
 */
export function withoutInjection(spec: JsonMap, annotations: Labels): NotInjected {
  const lists = ["containers", "initContainers"] as const;
  const isOurs = (container: JsonMap): boolean => CONTAINERS.has(textAt(container, "name"));
  if (!lists.some((list) => mapsAt(spec, list).some(isOurs))) return { spec, annotations };
  const targets = movedPorts(annotations[PROXY_CONFIG]);
  const volumes = mapsAt(spec, "volumes").filter((volume) => !volumeNames.has(textAt(volume, "name")));
  let made = withList(spec, "volumes", volumes);
  for (const list of lists) {
    const theirs = mapsAt(spec, list).filter((container) => !isOurs(container));
    made = withList(
      made,
      list,
      theirs.map((container) => restored(container, targets)),
    );
  }
  return { spec: made, annotations: ownAnnotations(annotations, mapsAt(made, "containers")) };
}

/** Port of a listener -> the app's port that it stands before: by `named-ports` the one is in the place of the other. */
function movedPorts(config: string | undefined): ReadonlyMap<unknown, number> {
  const listeners = config === undefined ? [] : mapsAt(readYaml(config), "listeners");
  const ports = listeners.map(({ address, target }) => [portIn(address), portIn(target)] as const);
  return new Map(ports.filter(([, target]) => Number.isInteger(target)));
}

function restored(container: JsonMap, targets: ReadonlyMap<unknown, number>): JsonMap {
  const ports = mapsAt(container, "ports").map((port) => {
    const target = targets.get(port["containerPort"]);
    return target === undefined ? port : { ...port, containerPort: target };
  });
  const made: Record<string, unknown> = { ...withList(container, "ports", ports) };
  for (const kind of ["livenessProbe", "readinessProbe", "startupProbe"]) {
    const probe = made[kind];
    if (isMap(probe)) made[kind] = restoredProbe(probe);
  }
  return made;
}

function restoredProbe(probe: JsonMap): JsonMap {
  const asked = mapAt(probe, "httpGet");
  const port = REACH.exec(textAt(asked, "path"))?.[1];
  if (asked["port"] !== OPEN_PORT || port === undefined) return probe;
  const { httpGet: _, ...rest } = probe;
  return { ...rest, tcpSocket: { port: Number(port) } };
}

function ownAnnotations(annotations: Labels, containers: readonly JsonMap[]): Labels {
  const isScraped = annotations["prometheus.io/port"] === String(OPEN_PORT);
  const [first] = containers;
  const pairs = Object.entries(annotations).flatMap(([name, value]): (readonly [string, string])[] => {
    if (name === INJECTED || name === PROXY_CONFIG) return [];
    if (isScraped && name.startsWith("prometheus.io/")) return [];
    // It says what is so without it.
    if (name === DEFAULT_CONTAINER && first !== undefined && value === textAt(first, "name")) return [];
    if (name !== EVICTION) return [[name, value]];
    const left = value.split(",").filter((volume) => !volumeNames.has(volume.trim()));
    return left.length === 0 ? [] : [[name, left.join(",")]];
  });
  return Object.fromEntries(pairs);
}

function portIn(address: unknown): number {
  return typeof address === "string" ? Number(address.slice(address.lastIndexOf(":") + 1)) : Number.NaN;
}

function readYaml(text: string): JsonMap {
  try {
    const value: unknown = parse(text, { maxAliasCount: 0 });
    return isMap(value) ? value : {};
  } catch {
    // Somebody has written there; the ports then stay as they are.
    return {};
  }
}
