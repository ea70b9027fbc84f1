// What is put into a pod: the sidecar, the container that lays the rules before it, and their volumes.

import type { SidecarDefaults } from "../../config/webhook-config.ts";
import {
  INBOUND_PORT,
  INTERCEPT,
  OPEN_PORT,
  OUTBOUND_PORT,
  PROXY_CONFIG,
  SIDECAR,
  SIDECAR_USER,
  VOLUMES,
} from "../../kube/injected-pod.ts";
import { PATHS } from "./proxy-config.ts";
import type { Resources } from "./resources.ts";
import type { InboundPort } from "./services.ts";
import type { PodSettings } from "./settings.ts";

/** Time for which an ordinary container goes on at least after the pod was told to end: the app may still call, and be called. */
const LINGER_MS = 5000;
/** Of the grace period, for the sidecar's own end: what runs then is killed. */
const OWN_END_MS = 5000;
const GRACE_S = 30;

/** What the containers follow from. */
export interface ContainersAsked {
  readonly settings: PodSettings;
  readonly defaults: SidecarDefaults;
  /** Absent: what the pod has is for all. */
  readonly resources: Resources | undefined;
  /** Of the pod, in seconds; absent: Kubernetes' default. */
  readonly graceS: number | undefined;
  readonly inbound: readonly InboundPort[];
  readonly outboundPorts: readonly number[];
}

/** Satisfies the `restricted` level of Pod Security, whatever the pod says. */
const UNPRIVILEGED = {
  runAsUser: SIDECAR_USER,
  runAsGroup: SIDECAR_USER,
  runAsNonRoot: true,
  privileged: false,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"] },
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/** Root with two capabilities: only root can use them without a file that grants them, and rules need both. */
const RULES_ONLY = {
  runAsUser: 0,
  runAsGroup: 0,
  runAsNonRoot: false,
  privileged: false,
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ["ALL"], add: ["NET_ADMIN", "NET_RAW"] },
  seccompProfile: { type: "RuntimeDefault" },
} as const;

/** The sidecar; `native`: an init container that stays, before which no app starts. */
export function sidecarContainer(asked: ContainersAsked, native: boolean): object {
  const mounts = [
    { name: VOLUMES.config, mountPath: PATHS.config, readOnly: true },
    { name: VOLUMES.ca, mountPath: PATHS.ca, readOnly: true },
    { name: VOLUMES.token, mountPath: PATHS.token, readOnly: true },
    { name: VOLUMES.data, mountPath: PATHS.data },
  ];
  return {
    name: SIDECAR,
    ...imageOf(asked, asked.settings.image),
    args: ["proxy", "--config", `${PATHS.config}/${PATHS.configFile}`],
    ...(native ? { restartPolicy: "Always" } : {}),
    ports: [{ name: "sidelane-open", containerPort: OPEN_PORT, protocol: "TCP" }],
    ...resourcesOf(asked),
    securityContext: UNPRIVILEGED,
    ...(native ? { startupProbe: STARTED } : { lifecycle: lifecycleOf(asked) }),
    terminationMessagePolicy: "FallbackToLogsOnError",
    volumeMounts: mounts,
  };
}

/** Ten minutes: it waits for its first table, and the control plane may be away. Starting it again would not help. */
const STARTED = {
  httpGet: { path: "/ready", port: OPEN_PORT, scheme: "HTTP" },
  periodSeconds: 1,
  timeoutSeconds: 2,
  failureThreshold: 600,
} as const;

/** The kubelet starts the next container when postStart has ended. By Node, the one program that every base of the image has. */
const AWAIT_TABLE = `const ask = () => fetch("http://127.0.0.1:${OPEN_PORT}/ready").then((answer) => answer.ok || again(), again); const again = () => setTimeout(ask, 250); ask();`;

/** Goes on while the app still listens somewhere: all containers are told to end at once, and the app is to be the first. */
function awaitApp(ports: readonly number[], lingerMs: number, mostMs: number): string {
  return (
    `const start = Date.now(); const listens = (port) => fetch("http://127.0.0.1:${OPEN_PORT}/reach/tcp/" + port).then((answer) => answer.ok, () => false); ` +
    `const ask = async () => { const all = await Promise.all(${JSON.stringify(ports)}.map(listens)); const ms = Date.now() - start; ` +
    `if (ms < ${lingerMs} || (ms < ${mostMs} && all.includes(true))) setTimeout(ask, 250); }; ask();`
  );
}

function lifecycleOf({ graceS = GRACE_S, inbound }: ContainersAsked): object {
  const graceMs = graceS * 1000;
  const lingerMs = Math.min(LINGER_MS, graceMs / 2);
  const mostMs = Math.max(lingerMs, graceMs - OWN_END_MS);
  const targets = inbound.map(({ target }) => target);
  const run = (program: string): object => ({ exec: { command: ["node", "-e", program] } });
  return { postStart: run(AWAIT_TABLE), preStop: run(awaitApp(targets, lingerMs, mostMs)) };
}

/** Lays the rules by which connections to the ports come to the sidecar, and ends. */
export function interceptContainer(asked: ContainersAsked): object {
  const { settings, defaults, inbound, outboundPorts } = asked;
  const pairs = (ports: readonly number[], first: number): string =>
    ports.map((port, index) => `${port}:${first + index}`).join(",");
  const inboundPairs = pairs(
    inbound.map(({ target }) => target),
    INBOUND_PORT,
  );
  const sources = [...new Set([...defaults.excludeInboundRanges, ...settings.excludeInboundRanges])];
  const destinations = [...new Set([...defaults.excludeOutboundRanges, ...settings.excludeOutboundRanges])];
  return {
    name: INTERCEPT,
    // Not the one of the annotation: root, even with two capabilities only, is not for whoever may make pods.
    ...imageOf(asked, undefined),
    args: [
      "intercept",
      ...(inboundPairs === "" ? [] : ["--inbound", inboundPairs]),
      ...(outboundPorts.length === 0 ? [] : ["--outbound", pairs(outboundPorts, OUTBOUND_PORT)]),
      ...(inboundPairs === "" ? [] : sources.flatMap((range) => ["--exclude-source", range])),
      ...(outboundPorts.length === 0 ? [] : destinations.flatMap((range) => ["--exclude-destination", range])),
      "--user",
      String(SIDECAR_USER),
    ],
    ...resourcesOf(asked),
    securityContext: RULES_ONLY,
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
}

function resourcesOf({ resources }: ContainersAsked): object {
  return resources === undefined ? {} : { resources };
}

function imageOf({ defaults }: ContainersAsked, image: string | undefined): object {
  const { imagePullPolicy } = defaults;
  return {
    image: image ?? defaults.image,
    ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
  };
}

/** What the sidecar's mounts name. */
export function sidecarVolumes({ audience }: SidecarDefaults): readonly object[] {
  const config = { path: PATHS.configFile, fieldRef: { fieldPath: `metadata.annotations['${PROXY_CONFIG}']` } };
  const token = { serviceAccountToken: { audience, expirationSeconds: 3600, path: PATHS.tokenFile } };
  return [
    { name: VOLUMES.config, downwardAPI: { items: [config] } },
    { name: VOLUMES.token, projected: { sources: [token] } },
    { name: VOLUMES.ca, configMap: { name: "sidelane-ca", items: [{ key: "ca.crt", path: PATHS.caFile }] } },
    { name: VOLUMES.data, emptyDir: {} },
  ];
}
