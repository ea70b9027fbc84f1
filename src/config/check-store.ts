// Where the control plane keeps its resources, from the URL in `store` and what `etcd` says beside it.

import { parseEndpoint } from "../routing/endpoint-name.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding } from "../routing/finding.ts";
import { malformed, quote } from "./addresses.ts";
import type { CheckContext } from "./check-tls.ts";
import type { ControlConfigDocument, EtcdStoreConfig, StoreConfig } from "./control-config.ts";

interface StoreContext extends CheckContext {
  readonly resolveStore: (path: string) => string;
}

/** The store of a config, paths made absolute. */
export function toStore({ store, etcd }: ControlConfigDocument, context: StoreContext): StoreConfig {
  const { problems } = context;
  const scheme = /^(file|etcds?):/u.exec(store)?.[1];
  if (scheme === "etcd" || scheme === "etcds") return toEtcd(store, scheme, etcd, context);
  if (etcd !== undefined) {
    const message = "etcd says how etcd is reached, and the store is another one";
    const hint = "write store: etcd://host:2379, or remove it";
    problems.push({ place: nameAt("etcd"), other: valueAt("store"), message, hint });
  }
  if (scheme === undefined) {
    const known = "file:DIR, etcd://host:port,host:port/prefix or etcds:// with the same behind it";
    const hint = /^[./~]/u.test(store) ? `write file:${store}` : `write ${known}`;
    problems.push({ place: valueAt("store"), message: `${quote(store)} is not a store`, hint });
    return { kind: "file", directory: "" };
  }
  const path = store.slice("file:".length).replace(/^\/\/(?=\/)/u, "");
  if (path === "" || path.startsWith("//")) {
    const message = path === "" ? "store names no directory" : `store ${quote(store)} names a host`;
    problems.push({ place: valueAt("store"), message, hint: "write file:/var/lib/sidelane-control" });
  }
  return { kind: "file", directory: context.resolveStore(path) };
}

function toEtcd(
  store: string,
  scheme: "etcd" | "etcds",
  section: ControlConfigDocument["etcd"],
  context: StoreContext,
): EtcdStoreConfig {
  const { problems, resolvePath } = context;
  const secure = scheme === "etcds";
  const rest = /^etcds?:\/\/([^/?#]*)(\/[^?#]*)?$/u.exec(store);
  const place = valueAt("store");
  const authority = rest?.[1] ?? "";
  if (rest === null || authority === "") {
    problems.push({ place, message: `${quote(store)} names no member of etcd`, hint: `write ${scheme}://host:2379` });
  } else if (authority.includes("@")) {
    const why = "whoever sees the process can read them";
    const hint = "write them into etcd.username and the file of etcd.passwordFile";
    problems.push({ place, message: "store holds credentials", why, hint });
  }
  const endpoints = authority.includes("@") ? [] : authority.split(",").filter((endpoint) => endpoint !== "");
  for (const endpoint of endpoints) {
    const parsed = parseEndpoint(endpoint);
    if ("problem" in parsed) problems.push(malformed(["store"], `${quote(endpoint)} is not an endpoint`, parsed));
  }
  const prefix = (rest?.[2] ?? "").replaceAll(/\/+/gu, "/").replace(/\/$/u, "");
  const { tls, username, passwordFile } = section ?? {};
  if (tls !== undefined) checkEtcdTls(tls, secure, problems);
  if ((username === undefined) !== (passwordFile === undefined)) {
    const [has, lacks] = username === undefined ? ["passwordFile", "username"] : ["username", "passwordFile"];
    const message = `etcd has a ${has} and no ${lacks}`;
    const hint = username === undefined ? "add username: sidelane" : "add passwordFile: ./etcd-password";
    problems.push({ place: nameAt("etcd", has), message, why: "one is of no use without the other", hint });
  }
  const resolved = Object.entries(tls ?? {}).flatMap(([name, file]) =>
    file === undefined ? [] : [[name, resolvePath(file)] as const],
  );
  return {
    kind: "etcd",
    endpoints,
    prefix: prefix === "" ? "/sidelane" : prefix,
    ...(secure ? { tls: Object.fromEntries(resolved) } : {}),
    ...(username === undefined ? {} : { username }),
    ...(passwordFile === undefined ? {} : { passwordFile: resolvePath(passwordFile) }),
  };
}

type EtcdTls = NonNullable<NonNullable<ControlConfigDocument["etcd"]>["tls"]>;

function checkEtcdTls(tls: EtcdTls, secure: boolean, problems: Finding[]): void {
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
