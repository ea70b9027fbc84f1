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
} from "./names.ts";
import { PATHS } from "./proxy-config.ts";
import type { Resources } from "./resources.ts";
import type { InboundPort } from "./services.ts";
import type { PodSettings } from "./settings.ts";

/** Seconds for which an ordinary container goes on after the pod was told to end: the app may still call, and be called. */
const LINGER_S = 5;

/** What the containers follow from. */
export interface ContainersAsked {
  readonly settings: PodSettings;
  readonly defaults: SidecarDefaults;
  readonly resources: Resources;
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
    ...imageOf(asked),
    args: ["proxy", "--config", `${PATHS.config}/${PATHS.configFile}`],
    ...(native ? { restartPolicy: "Always" } : {}),
    ports: [{ name: "sidelane-open", containerPort: OPEN_PORT, protocol: "TCP" }],
    resources: asked.resources,
    securityContext: UNPRIVILEGED,
    ...(native ? { startupProbe: STARTED } : { lifecycle: WAITING }),
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

// By Node, the one program that every base of the image has. The kubelet starts the next container when postStart has ended.
const WAITING = {
  postStart: {
    exec: {
      command: [
        "node",
        "-e",
        `const ask = () => fetch("http://127.0.0.1:${OPEN_PORT}/ready").then((answer) => answer.ok || again(), again); const again = () => setTimeout(ask, 250); ask();`,
      ],
    },
  },
  preStop: { exec: { command: ["node", "-e", `setTimeout(() => {}, ${LINGER_S * 1000});`] } },
} as const;

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
    ...imageOf(asked),
    args: [
      "intercept",
      ...(inboundPairs === "" ? [] : ["--inbound", inboundPairs]),
      ...(outboundPorts.length === 0 ? [] : ["--outbound", pairs(outboundPorts, OUTBOUND_PORT)]),
      ...(inboundPairs === "" ? [] : sources.flatMap((range) => ["--exclude-source", range])),
      ...(outboundPorts.length === 0 ? [] : destinations.flatMap((range) => ["--exclude-destination", range])),
      "--user",
      String(SIDECAR_USER),
    ],
    resources: asked.resources,
    securityContext: RULES_ONLY,
    terminationMessagePolicy: "FallbackToLogsOnError",
  };
}

function imageOf({ settings, defaults }: ContainersAsked): object {
  const { imagePullPolicy } = defaults;
  return {
    image: settings.image ?? defaults.image,
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
