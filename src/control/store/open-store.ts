// `--store` as people write it -> the store. Nothing is opened or connected yet.

import { isAbsolute, resolve } from "node:path";
import { EtcdStore } from "./etcd/etcd-store.ts";
import type { EtcdCredentials } from "./etcd/endpoints.ts";
import { FileStore } from "./file-store.ts";
import { StoreUnusableError } from "./store.ts";
import type { Store } from "./store.ts";

export interface StoreOptions {
  /** For etcd: what the URL does not say. */
  readonly etcd?: EtcdCredentials;
  /** What was put right by itself, or is odd, for the log. */
  readonly warn?: (message: string) => void;
}

const FORMS = "file:DIR, etcd://HOST:PORT,HOST:PORT/PREFIX, or etcds:// for TLS";

/** `file:DIR`, `etcd://HOST[:PORT][,HOST[:PORT]...][/PREFIX]`, `etcds://...`. Throws `StoreUnusableError`. */
export function openStore(url: string, options: StoreOptions = {}): Store {
  const warn = options.warn ?? (() => {});
  const scheme = /^([a-z]+):/.exec(url)?.[1] ?? "";
  const rest = url.slice(scheme.length + 1);
  switch (scheme) {
    case "file":
      return new FileStore(directoryOf(url, rest), { warn });
    case "etcd":
    case "etcds": {
      const credentials = options.etcd ?? {};
      if (scheme === "etcd" && (credentials.ca ?? credentials.certificate ?? credentials.key) !== undefined) {
        throw new StoreUnusableError(`store ${url}: etcd.tls is set, but etcd:// is without TLS; write etcds://`);
      }
      return new EtcdStore({ ...addressOf(url, rest), tls: scheme === "etcds", credentials, warn });
    }
    default:
      throw new StoreUnusableError(`store ${JSON.stringify(url)}: no such kind of store; write ${FORMS}`);
  }
}

function directoryOf(url: string, rest: string): string {
  // `file:///var/lib/x` means `/var/lib/x`; a host in between means nothing here.
  const path = rest.startsWith("///") ? rest.slice(2) : rest;
  if (path === "" || path.startsWith("//")) {
    throw new StoreUnusableError(`store ${url}: names no directory; write file:/var/lib/sidelane-control`);
  }
  return isAbsolute(path) ? path : resolve(path);
}

function addressOf(url: string, rest: string): { hosts: readonly string[]; prefix: string } {
  const parts = /^\/\/([^/?#]*)(\/[^?#]*)?$/.exec(rest);
  const authority = parts?.[1] ?? "";
  if (authority.includes("@")) {
    // The URL is shown in logs and answers.
    throw new StoreUnusableError(
      "store: a user does not belong into the URL; write etcd.username and etcd.passwordFile in the config",
    );
  }
  const hosts = authority.split(",").map((host) => hostOf(url, host));
  const prefix = (parts?.[2] ?? "").replace(/\/+$/, "");
  return { hosts, prefix: prefix === "" ? "/sidelane" : prefix };
}

function hostOf(url: string, host: string): string {
  const found = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(host);
  const port = Number(found?.[2] ?? 2379);
  if (found === null || port < 1 || port > 65_535) {
    throw new StoreUnusableError(
      `store ${url}: ${JSON.stringify(host)} is no HOST:PORT; write ${FORMS}, for example etcd://10.0.0.1:2379,10.0.0.2:2379/sidelane`,
    );
  }
  return `${found[1]}:${port}`;
}
