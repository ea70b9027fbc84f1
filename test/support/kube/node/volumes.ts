// A pod's volumes as folders on this machine, which are bound into its containers. What comes from objects is laid down as the
// kubelet does it: files are links into a folder that is swapped in one step, so a reader never sees half of a change.
import { chmod, mkdir, readFile, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { KubeApi } from "../kube-api.ts";
import { CannotStart, type Own, fieldOf, resourceOf, valuesOf } from "./fields.ts";
import type { Container, DownwardItems, Keyed, Pod, TokenSource, Volume } from "./pod.ts";

interface KeptToken {
  readonly token: string;
  readonly renewAtMs: number;
}

export class Volumes {
  readonly #api: KubeApi;
  readonly #folder: string;
  readonly #tokens = new Map<string, KeptToken>();
  #generation = 0;

  /** `folder`: its own, for this pod. */
  constructor(api: KubeApi, folder: string) {
    this.#api = api;
    this.#folder = folder;
  }

  /** The folder of a volume on this machine. */
  path({ name, hostPath }: Volume): string {
    return hostPath?.path ?? join(this.#folder, name);
  }

  /** Lays all down, or anew what has changed. Throws CannotStart while something is missing. */
  async write(own: Own): Promise<void> {
    for (const volume of own.pod.spec.volumes ?? []) {
      const path = this.path(volume);
      await mkdir(path, { recursive: true });
      if (volume.emptyDir !== undefined) await chmod(path, 0o777);
      const files = await this.#filesOf(own, volume).catch((error: unknown) => {
        if (!(error instanceof CannotStart)) throw error;
        throw new CannotStart(
          "ContainerCreating",
          `MountVolume.SetUp failed for volume "${volume.name}": ${error.message}`,
        );
      });
      if (files !== undefined) await this.#lay(path, files);
    }
  }

  async #filesOf(own: Own, volume: Volume): Promise<Map<string, Buffer> | undefined> {
    const { configMap, secret, downwardAPI, projected } = volume;
    const sources = projected?.sources ?? [{ configMap, secret, downwardAPI } as const];
    if (projected === undefined && (configMap ?? secret ?? downwardAPI) === undefined) {
      if (volume.emptyDir !== undefined || volume.hostPath !== undefined) return undefined;
      throw new CannotStart("ContainerCreating", "the test node does not know this kind of volume");
    }
    const files = new Map<string, Buffer>();
    for (const source of sources) {
      for (const [path, content] of await this.#keyed(own.pod, "configmaps", source.configMap))
        files.set(path, content);
      for (const [path, content] of await this.#keyed(own.pod, "secrets", source.secret)) files.set(path, content);
      for (const [path, content] of downward(own, source.downwardAPI)) files.set(path, content);
      const token = "serviceAccountToken" in source ? source.serviceAccountToken : undefined;
      if (token !== undefined) files.set(token.path, Buffer.from(await this.#token(own.pod, volume.name, token)));
    }
    return files;
  }

  async #keyed(pod: Pod, kind: "configmaps" | "secrets", of: Keyed | undefined): Promise<[string, Buffer][]> {
    if (of === undefined) return [];
    const name = of.name ?? of.secretName ?? "";
    const values = await valuesOf(this.#api, pod.metadata.namespace ?? "default", kind, name, of.optional);
    if (values === undefined) return [];
    if (of.items === undefined) return Object.entries(values);
    return of.items.flatMap(({ key, path }): [string, Buffer][] => {
      const value = values[key];
      if (value === undefined && of.optional !== true) throw new CannotStart("", `${name} has no key ${key}`);
      return value === undefined ? [] : [[path, value]];
    });
  }

  async #token(pod: Pod, volume: string, { audience, expirationSeconds = 3600 }: TokenSource): Promise<string> {
    const key = `${volume}/${audience}`;
    const kept = this.#tokens.get(key);
    if (kept !== undefined && performance.now() < kept.renewAtMs) return kept.token;
    const { namespace, name, uid } = pod.metadata;
    const account = pod.spec.serviceAccountName ?? "default";
    const { status } = await this.#api.create<{ readonly status: { readonly token: string } }>(
      `/api/v1/namespaces/${namespace}/serviceaccounts/${account}/token`,
      {
        apiVersion: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        spec: {
          expirationSeconds,
          ...(audience !== undefined && { audiences: [audience] }),
          boundObjectRef: { apiVersion: "v1", kind: "Pod", name, uid },
        },
      },
    );
    this.#tokens.set(key, { token: status.token, renewAtMs: performance.now() + expirationSeconds * 800 });
    return status.token;
  }

  async #lay(path: string, files: ReadonlyMap<string, Buffer>): Promise<void> {
    const data = join(path, "..data");
    const before = await readlink(data).catch(() => undefined);
    if (before !== undefined && (await isSame(data, files))) return;
    const next = `..${(this.#generation += 1)}`;
    for (const [name, content] of files) {
      await mkdir(dirname(join(path, next, name)), { recursive: true });
      await writeFile(join(path, next, name), content, { mode: 0o644 });
    }
    await mkdir(join(path, next), { recursive: true });
    await rm(`${data}_tmp`, { force: true });
    await symlink(next, `${data}_tmp`);
    await rename(`${data}_tmp`, data);
    for (const name of new Set([...files.keys()].map((file) => file.split("/")[0] as string))) {
      await symlink(join("..data", name), join(path, name)).catch(() => {});
    }
    if (before !== undefined) await rm(join(path, before), { recursive: true, force: true });
  }
}

async function isSame(data: string, files: ReadonlyMap<string, Buffer>): Promise<boolean> {
  for (const [name, content] of files) {
    const there = await readFile(join(data, name)).catch(() => undefined);
    if (there === undefined || !there.equals(content)) return false;
  }
  return true;
}

function downward(own: Own, of: DownwardItems | undefined): [string, Buffer][] {
  return (of?.items ?? []).map(({ path, fieldRef, resourceFieldRef }) => {
    const value =
      fieldRef === undefined
        ? resourceOf(own.pod, own.pod.spec.containers[0] as Container, resourceFieldRef ?? { resource: "limits.cpu" })
        : fieldOf(own, fieldRef.fieldPath);
    return [path, Buffer.from(value)];
  });
}
