// Values that a pod takes from itself and from objects beside it: fieldRef, resourceFieldRef, configMap, secret, $(NAME).
import { type KubeApi, KubeRefusal } from "../kube-api.ts";
import type { Container, EnvVar, Pod, ResourceRef } from "./pod.ts";

/** Why a container cannot start yet: the kubelet's reason, and a sentence. */
export class CannotStart extends Error {
  readonly reason: string;

  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
}

export interface Own {
  readonly pod: Pod;
  readonly podIP: string;
  readonly hostIP: string;
}

export function fieldOf({ pod, podIP, hostIP }: Own, path: string): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/u.exec(path);
  if (keyed !== null) return metadata[keyed[1] as "labels" | "annotations"]?.[keyed[2] as string] ?? "";
  switch (path) {
    case "metadata.name":
      return metadata.name;
    case "metadata.namespace":
      return metadata.namespace ?? "";
    case "metadata.uid":
      return metadata.uid ?? "";
    case "metadata.labels":
    case "metadata.annotations":
      return Object.entries(metadata[path === "metadata.labels" ? "labels" : "annotations"] ?? {})
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
        .join("\n");
    case "spec.nodeName":
      return spec.nodeName ?? "";
    case "spec.serviceAccountName":
      return spec.serviceAccountName ?? "default";
    case "status.podIP":
    case "status.podIPs":
      return podIP;
    case "status.hostIP":
    case "status.hostIPs":
      return hostIP;
    default:
      throw new CannotStart("CreateContainerConfigError", `fieldPath "${path}" is not supported`);
  }
}

const units: Readonly<Record<string, number>> = {
  "": 1,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
};

/** A limit or request in whole `divisor`s, rounded up; without a limit the node's own. */
export function resourceOf(pod: Pod, own: Container, { containerName, resource, divisor }: ResourceRef): string {
  const of =
    [...(pod.spec.initContainers ?? []), ...pod.spec.containers].find(({ name }) => name === containerName) ?? own;
  const [kind, what] = resource.split(".") as ["limits" | "requests", string];
  const number = (text: string): number => {
    const [, digits, unit] = /^([\d.]+)([a-zA-Z]*)$/u.exec(text) ?? [];
    return Number(digits) * (units[unit ?? ""] ?? 1);
  };
  const given = of.resources?.[kind]?.[what] ?? of.resources?.limits?.[what] ?? (what === "cpu" ? "2" : "8Gi");
  const by = divisor === undefined || divisor === "0" ? "1" : divisor;
  return String(Math.ceil(number(given) / number(by)));
}

/** A ConfigMap's or Secret's values; undefined: it is absent and may be. */
export async function valuesOf(
  api: KubeApi,
  namespace: string,
  kind: "configmaps" | "secrets",
  name: string,
  optional = false,
): Promise<Readonly<Record<string, Buffer>> | undefined> {
  interface Found {
    readonly data?: Readonly<Record<string, string>>;
    readonly binaryData?: Readonly<Record<string, string>>;
  }
  try {
    const { data = {}, binaryData = {} } = await api.get<Found>(`/api/v1/namespaces/${namespace}/${kind}/${name}`);
    const decoded = (of: Readonly<Record<string, string>>, encoding: "utf8" | "base64"): [string, Buffer][] =>
      Object.entries(of).map(([key, value]) => [key, Buffer.from(value, encoding)]);
    return Object.fromEntries([
      ...decoded(data, kind === "secrets" ? "base64" : "utf8"),
      ...decoded(binaryData, "base64"),
    ]);
  } catch (error) {
    if (!(error instanceof KubeRefusal) || error.status !== 404) throw error;
    if (optional) return undefined;
    const shown = kind === "secrets" ? "secret" : "configmap";
    throw new CannotStart("CreateContainerConfigError", `${shown} "${name}" not found`);
  }
}

/** The environment that a container starts with. */
export async function environmentOf(
  api: KubeApi,
  own: Own,
  container: Container,
  given: Readonly<Record<string, string>>,
): Promise<Readonly<Record<string, string>>> {
  const namespace = own.pod.metadata.namespace ?? "default";
  const env: Record<string, string> = { ...given };
  for (const { prefix = "", configMapRef, secretRef } of container.envFrom ?? []) {
    const ref = configMapRef ?? secretRef;
    if (ref === undefined) continue;
    const kind = configMapRef === undefined ? "secrets" : "configmaps";
    const values = await valuesOf(api, namespace, kind, ref.name, ref.optional);
    for (const [key, value] of Object.entries(values ?? {})) env[prefix + key] = value.toString();
  }
  for (const one of container.env ?? []) {
    const value = one.valueFrom === undefined ? expand(one.value ?? "", env) : await valueOf(api, own, container, one);
    if (value !== undefined) env[one.name] = value;
  }
  return env;
}

async function valueOf(
  api: KubeApi,
  own: Own,
  container: Container,
  { valueFrom = {} }: EnvVar,
): Promise<string | undefined> {
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = valueFrom;
  if (fieldRef !== undefined) return fieldOf(own, fieldRef.fieldPath);
  if (resourceFieldRef !== undefined) return resourceOf(own.pod, container, resourceFieldRef);
  const ref = configMapKeyRef ?? secretKeyRef;
  if (ref === undefined) return "";
  const kind = configMapKeyRef === undefined ? "secrets" : "configmaps";
  const values = await valuesOf(api, own.pod.metadata.namespace ?? "default", kind, ref.name, ref.optional);
  const value = values?.[ref.key];
  if (value === undefined && ref.optional !== true) {
    throw new CannotStart("CreateContainerConfigError", `couldn't find key ${ref.key} in ${kind} ${ref.name}`);
  }
  return value?.toString();
}

/** $(NAME) where there is a NAME; $$(NAME) stays as $(NAME). */
export function expand(text: string, env: Readonly<Record<string, string>>): string {
  return text.replaceAll(/\$(\$)?\(([^)]+)\)/gu, (all, escaped: string | undefined, name: string) =>
    escaped === undefined ? (env[name] ?? all) : all.slice(1),
  );
}
