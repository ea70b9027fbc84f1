// The store in a real Kubernetes API, and what can be done to it from beside.
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { KubernetesStore } from "../../../src/control/store/kubernetes/kubernetes-store.ts";
import type { KubernetesStoreOptions } from "../../../src/control/store/kubernetes/kubernetes-store.ts";
import { openStore } from "../../../src/control/store/open-store.ts";
import type { Store } from "../../../src/control/store/store.ts";
import { connectKube } from "../../../src/kube/client.ts";
import type { KubeClient } from "../../../src/kube/client.ts";
import { opened } from "../store-contract.ts";
import type { Replica } from "../store-race.ts";
import { kubeconfigText, startCluster } from "./cluster.ts";
import type { Cluster } from "./cluster.ts";

const CRD = join(import.meta.dirname, "../../../deploy/helm/sidelane/definitions/tablecommits.yaml");

/** Where the objects of a namespace are. */
export const pathOf = (namespace: string): string => `/apis/sidelane.dev/v1alpha1/namespaces/${namespace}/tablecommits`;

export class StoreWorld {
  readonly cluster: Cluster;
  #namespaces = 0;

  constructor(cluster: Cluster) {
    this.cluster = cluster;
  }

  static async start(): Promise<StoreWorld> {
    return new StoreWorld(await startCluster({ manifests: [CRD] }));
  }

  async namespace(): Promise<string> {
    const name = `store-${++this.#namespaces}`;
    await this.cluster.api.create("/api/v1/namespaces", { metadata: { name } });
    return name;
  }

  client(): Promise<KubeClient> {
    return connectKube({ kubeconfig: this.cluster.kubeconfig });
  }

  store(namespace: string): Store {
    return openStore(`kubernetes://${namespace}`, { kube: () => this.client() });
  }

  /** Open; closed at the end of the test. */
  replica(namespace: string, options: Partial<KubernetesStoreOptions> = {}): Promise<Replica> {
    return opened(new KubernetesStore({ namespace, client: () => this.client(), warn: () => {}, ...options }));
  }

  /** One that reaches the API server through something that may lose what passes. */
  async replicaBy(namespace: string, endpoint: string, options: Partial<KubernetesStoreOptions> = {}) {
    const kubeconfig = await this.kubeconfigBy(endpoint);
    return this.replica(namespace, { client: () => connectKube({ kubeconfig }), ...options });
  }

  /** The administrator's, by way of an endpoint. */
  async kubeconfigBy(endpoint: string): Promise<string> {
    const port = endpoint.slice(endpoint.lastIndexOf(":") + 1);
    const file = join(this.cluster.folder, `by-${port}.kubeconfig`);
    const admin = JSON.parse(await this.cluster.kubectl(["config", "view", "--raw", "-o", "json"])) as {
      readonly users: readonly [{ readonly user: { readonly token: string } }];
    };
    await writeFile(file, kubeconfigText(`https://127.0.0.1:${port}`, this.cluster.ca, admin.users[0].user.token));
    return file;
  }

  /** Names of all objects. */
  async names(namespace: string): Promise<string[]> {
    return (await this.cluster.api.list(pathOf(namespace))).map(({ metadata }) => metadata.name);
  }

  async etcdctl(...command: readonly string[]): Promise<string> {
    const env = { ...process.env, ETCDCTL_API: "3" };
    const { stdout } = await promisify(execFile)("etcdctl", [`--endpoints=${this.cluster.etcd}`, ...command], { env });
    return stdout;
  }

  /** Forgets all that is past, so that watches that begin there are answered with 410. */
  async compactEtcd(): Promise<void> {
    const status = JSON.parse(await this.etcdctl("endpoint", "status", "--write-out=json")) as [
      { Status: { header: { revision: number } } },
    ];
    await this.etcdctl("compact", String(status[0].Status.header.revision));
  }
}
