// As much of Kubernetes' objects as a review looks at. They come from the API server, which has checked their shape; what is
// not named here passes through untouched, because patches name only what they change.

/** A pod as an AdmissionReview carries it: not stored yet, so it may have a `generateName` in place of a name. */
export interface Pod {
  readonly metadata?: {
    readonly name?: string;
    readonly generateName?: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly OwnerReference[];
  };
  readonly spec?: PodSpec;
}

export interface OwnerReference {
  readonly kind: string;
  readonly name: string;
  readonly controller?: boolean;
}

export interface PodSpec {
  readonly containers?: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly { readonly name: string; readonly downwardAPI?: object }[];
  readonly imagePullSecrets?: readonly { readonly name?: string }[];
  readonly hostNetwork?: boolean;
  /** Default: Always. */
  readonly restartPolicy?: string;
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly os?: { readonly name?: string };
  readonly securityContext?: SecurityContext;
  /** Default: ClusterFirst. */
  readonly dnsPolicy?: string;
  /** Seconds; default: 30. */
  readonly terminationGracePeriodSeconds?: number;
  /** Of the whole pod (Kubernetes 1.34): its containers may not ask for more together. */
  readonly resources?: PodResources;
}

interface PodResources {
  readonly requests?: Readonly<Record<string, string | number>>;
  readonly limits?: Readonly<Record<string, string | number>>;
}

export interface Container {
  readonly name: string;
  readonly ports?: readonly ContainerPort[];
  readonly livenessProbe?: Probe;
  readonly readinessProbe?: Probe;
  readonly startupProbe?: Probe;
  /** Only of init containers: `Always` makes a sidecar of it. */
  readonly restartPolicy?: string;
  readonly resources?: PodResources;
  readonly securityContext?: SecurityContext;
}

export interface SecurityContext {
  readonly runAsUser?: number;
  readonly windowsOptions?: object;
}

export interface ContainerPort {
  readonly name?: string;
  readonly containerPort: number;
  readonly hostPort?: number;
  /** Default: TCP. */
  readonly protocol?: string;
}

export interface Probe {
  readonly tcpSocket?: { readonly port: number | string; readonly host?: string };
}

/** A Service of the pod's namespace. */
export interface Service {
  readonly metadata: { readonly name: string; readonly namespace: string };
  readonly spec?: {
    readonly type?: string;
    readonly clusterIP?: string;
    readonly selector?: Readonly<Record<string, string>>;
    readonly ports?: readonly ServicePort[];
  };
}

export interface ServicePort {
  readonly name?: string;
  readonly protocol?: string;
  readonly port: number;
  /** Number, or name of a container's port. Default: `port`. */
  readonly targetPort?: number | string;
  readonly appProtocol?: string;
}

/** Whether a port of a container or a Service is TCP. */
export function isTcp({ protocol = "TCP" }: { readonly protocol?: string }): boolean {
  return protocol === "TCP";
}

/** A container that runs as long as the pod, with its place. */
export interface PlacedContainer {
  readonly container: Container;
  /** JSON pointer, in the pod as it came. */
  readonly pointer: string;
}

/** All containers that run as long as the pod: the ordinary ones, then init containers that are sidecars. */
export function lastingContainers({ spec }: Pod): readonly PlacedContainer[] {
  const place = (list: "containers" | "initContainers"): readonly PlacedContainer[] =>
    (spec?.[list] ?? []).map((container, index) => ({ container, pointer: `/spec/${list}/${index}` }));
  return [
    ...place("containers"),
    ...place("initContainers").filter(({ container }) => container.restartPolicy === "Always"),
  ];
}

/** The number of a named TCP port of a pod, as the endpoints of a Service find it. */
export function namedPort(pod: Pod, name: string): number | undefined {
  for (const { container } of lastingContainers(pod)) {
    const port = (container.ports ?? []).find((one) => one.name === name && isTcp(one));
    if (port !== undefined) return port.containerPort;
  }
  return undefined;
}
