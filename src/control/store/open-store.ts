// The URL of a store, or what was read from one -> the store. Nothing is opened or connected yet.

import { isAbsolute, resolve } from "node:path";
import { parseStoreUrl } from "../../config/store-url.ts";
import type { StoreLocation } from "../../config/store-url.ts";
import { connectKube } from "../../kube/client.ts";
import type { KubeClient } from "../../kube/client.ts";
import { EtcdStore } from "./etcd/etcd-store.ts";
import type { EtcdCredentials } from "./etcd/endpoints.ts";
import { FileStore } from "./file-store.ts";
import { KubernetesStore } from "./kubernetes/kubernetes-store.ts";
import { StoreUnusableError } from "./store.ts";
import type { Store } from "./store.ts";

export interface StoreOptions {
  /** For etcd: what the URL does not say. */
  readonly etcd?: EtcdCredentials;
  /** For Kubernetes: the cluster. Default: the one that the process runs in, or that KUBECONFIG names. */
  readonly kube?: () => Promise<KubeClient>;
  /** What was put right by itself, or is odd, for the log. */
  readonly warn?: (message: string) => void;
}

/** `store`: a URL, or what `parseStoreUrl` makes of one. Throws `StoreUnusableError`. */
export function openStore(store: string | StoreLocation, options: StoreOptions = {}): Store {
  const location = typeof store === "string" ? locationIn(store) : store;
  const warn = options.warn ?? (() => {});
  switch (location.kind) {
    case "file": {
      const { directory } = location;
      return new FileStore(isAbsolute(directory) ? directory : resolve(directory), { warn });
    }
    case "etcd": {
      const { secure, endpoints, prefix } = location;
      const credentials = options.etcd ?? {};
      if (!secure && (credentials.ca ?? credentials.certificate ?? credentials.key) !== undefined) {
        throw new StoreUnusableError(
          `store etcd://${endpoints.join(",")}${prefix}: etcd.tls is set, but etcd:// is without TLS; write etcds://`,
        );
      }
      return new EtcdStore({ hosts: endpoints, prefix, tls: secure, credentials, warn });
    }
    case "kubernetes":
      return new KubernetesStore({ namespace: location.namespace, client: options.kube ?? connectKube, warn });
  }
}

function locationIn(url: string): StoreLocation {
  const location = parseStoreUrl(url);
  if (!("problem" in location)) return location;
  const { problem, why, hint } = location;
  throw new StoreUnusableError(`store: ${problem}, ${why === undefined ? "" : `${why}, `}${hint}`);
}
