// What injected pods are told apart by, and what the sidecar has in them: the webhook writes it, operator, doctor and chart rely
// on it.

import { API_GROUP } from "./object-names.ts";

/** Prefix of all labels and annotations. */
export const PREFIX = `${API_GROUP}/`;

/** Annotation with the version that injected; the mark of an injected pod, together with its containers. */
export const INJECTED = `${PREFIX}injected`;
/** Annotation with the sidecar's config, which the pod mounts as a file. */
export const PROXY_CONFIG = `${PREFIX}proxy-config`;
/** Annotation with the reason for which a pod in an injected namespace has no sidecar. */
export const SKIPPED = `${PREFIX}skipped`;
/** Label of a namespace: `enabled` all pods, `on-request` those that ask for it. */
export const INJECTION = `${PREFIX}injection`;
/** Label or annotation of a pod. */
export const INJECT = `${PREFIX}inject`;

export const SIDECAR = "sidelane";
export const INTERCEPT = "sidelane-intercept";

export const VOLUMES = {
  config: "sidelane-config",
  token: "sidelane-token",
  ca: "sidelane-ca",
  data: "sidelane-data",
} as const;

/** User and group of the sidecar: its own, so that rules about its traffic are never about an app's. */
export const SIDECAR_USER = 15_065;

export const ADMIN_PORT = 15_000;
/** Health, metrics and reachability, for the kubelet and Prometheus. */
export const OPEN_PORT = 15_004;
/** The first of the inbound listeners' ports. */
export const INBOUND_PORT = 15_100;
/** The first of the outbound listeners' ports; also what bounds the inbound ones. */
export const OUTBOUND_PORT = 15_200;
/** Listeners of one direction. */
export const LISTENERS_MAX = 100;

/** Whether a port may be that of an outbound listener: leading it to one would be leading it to itself. */
export function isOutboundListener(port: number): boolean {
  return port >= OUTBOUND_PORT && port < OUTBOUND_PORT + LISTENERS_MAX;
}
