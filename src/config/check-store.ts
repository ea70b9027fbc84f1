// Where the control plane keeps its resources, from the URL in `store` and what `etcd` says beside it.

import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import type { CheckContext } from "./check-tls.ts";
import type { ControlConfigDocument, EtcdStoreConfig, StoreConfig } from "./control-config.ts";
import { parseStoreUrl } from "./store-url.ts";
import type { StoreLocation } from "./store-url.ts";

interface StoreContext extends CheckContext {
  readonly resolveStore: (path: string) => string;
}

/** The store of a config, paths made absolute. */
export function toStore({ store, etcd }: ControlConfigDocument, context: StoreContext): StoreConfig {
  const { problems } = context;
  const location = parseStoreUrl(store);
  if ("problem" in location) {
    const { problem: message, ...rest } = location;
    problems.push({ place: valueAt("store"), message, ...rest });
  }
  const etcdMeant = /^etcds?:/u.test(store);
  if (etcd !== undefined) {
    if (etcdMeant) checkEtcd(etcd, store.startsWith("etcds:"), problems);
    else {
      const message = "etcd says how etcd is reached, and the store is another one";
      const hint = "write store: etcd://host:2379, or remove it";
      problems.push({ place: nameAt("etcd"), other: valueAt("store"), message, hint });
    }
  }
  if ("problem" in location) return { kind: "file", directory: "" };
  if (location.kind === "file") return { kind: "file", directory: context.resolveStore(location.directory) };
  return location.kind === "kubernetes" ? location : withAccess(location, etcd, context);
}

type EtcdSection = NonNullable<ControlConfigDocument["etcd"]>;

function withAccess(
  { endpoints, prefix, secure }: Extract<StoreLocation, { readonly kind: "etcd" }>,
  { tls = {}, username, passwordFile }: EtcdSection = {},
  { resolvePath }: StoreContext,
): EtcdStoreConfig {
  const resolved = Object.entries(tls).flatMap(([name, file]) =>
    file === undefined ? [] : [[name, resolvePath(file)] as const],
  );
  return {
    kind: "etcd",
    endpoints,
    prefix,
    ...(secure ? { tls: Object.fromEntries(resolved) } : {}),
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined ? {} : { passwordFile: resolvePath(passwordFile) }),
  };
}

function checkEtcd({ tls, username, passwordFile }: EtcdSection, secure: boolean, problems: Finding[]): void {
  if (tls !== undefined) checkEtcdTls(tls, secure, problems);
  if ((username === undefined) === (passwordFile === undefined)) return;
  const [has, lacks] = username === undefined ? ["passwordFile", "username"] : ["username", "passwordFile"];
  const message = `etcd has a ${has} and no ${lacks}`;
  const hint = username === undefined ? "add username: sidelane" : "add passwordFile: ./etcd-password";
  problems.push({ place: nameAt("etcd", has), message, why: "one is of no use without the other", hint });
}

function checkEtcdTls(tls: NonNullable<EtcdSection["tls"]>, secure: boolean, problems: Finding[]): void {
  if (!secure) {
    const message = "etcd.tls says how TLS is spoken, and store begins with etcd://, which speaks none";
    problems.push({
      place: nameAt("etcd", "tls"),
      other: valueAt("store"),
      message,
      hint: "write store: etcds://..., or remove it",
    });
  }
  if ((tls.certificate === undefined) === (tls.key === undefined)) return;
  const [has, lacks] = tls.key === undefined ? ["certificate", "key"] : ["key", "certificate"];
  problems.push({
    place: nameAt("etcd", "tls", has),
    message: `etcd.tls has a ${has} and no ${lacks}`,
    why: "one is of no use without the other",
    hint: `add ${lacks}: ./${lacks === "key" ? "tls.key" : "tls.crt"}`,
  });
}
