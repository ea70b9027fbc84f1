// The grammar of `store`: what kind of store, and where. It stands here alone; check-store.ts makes findings of what is wrong,
// src/control/store/open-store.ts opens what is right.

import { parseEndpoint } from "../routing/endpoint-name.ts";
import { quote } from "./addresses.ts";

/** Where the control plane keeps its resources. */
export type StoreLocation =
  /** As written, perhaps relative. */
  | { readonly kind: "file"; readonly directory: string }
  | {
      readonly kind: "etcd";
      readonly secure: boolean;
      /** `host:port` of the members; at least one. */
      readonly endpoints: readonly string[];
      /** Begins with `/` and does not end with one; `/sidelane` unless the URL has a path. */
      readonly prefix: string;
    }
  /** `namespace` absent: the control plane's own. */
  | { readonly kind: "kubernetes"; readonly namespace?: string };

/** What is wrong, and what to write. */
export interface StoreUrlProblem {
  readonly problem: string;
  readonly why?: string;
  readonly hint: string;
}

const STORE_FORMS =
  "file:DIR, etcd://HOST:PORT,HOST:PORT/PREFIX, etcds:// with the same behind it, kubernetes, or kubernetes://NAMESPACE";

const ETCD_PORT = 2379;

/** `file:DIR`, `etcd://HOST[:PORT][,HOST[:PORT]...][/PREFIX]`, `etcds://...`, `kubernetes`, `kubernetes://NAMESPACE`. */
export function parseStoreUrl(url: string): StoreLocation | StoreUrlProblem {
  // YAML wants quotes around a word that ends with a colon.
  if (url === "kubernetes") return { kind: "kubernetes" };
  const scheme = /^([a-z]+):/u.exec(url)?.[1] ?? "";
  const rest = url.slice(scheme.length + 1);
  switch (scheme) {
    case "file":
      return fileIn(rest);
    case "etcd":
    case "etcds":
      return etcdIn(url, scheme, rest);
    case "kubernetes":
      return kubernetesIn(url, rest);
    default:
      return {
        problem: `${quote(url)} is not a store`,
        hint: /^[./~]/u.test(url) ? `write file:${url}` : `write ${STORE_FORMS}`,
      };
  }
}

function fileIn(rest: string): StoreLocation | StoreUrlProblem {
  // `file:///var/lib/x` means `/var/lib/x`; a host in between means nothing here.
  const directory = rest.replace(/^\/\/(?=\/)/u, "");
  const hint = "write file:/var/lib/sidelane-control";
  if (directory === "") return { problem: "store names no directory", hint };
  if (directory.startsWith("//")) return { problem: `store ${quote(`file:${rest}`)} names a host`, hint };
  return { kind: "file", directory };
}

function etcdIn(url: string, scheme: "etcd" | "etcds", rest: string): StoreLocation | StoreUrlProblem {
  const parts = /^\/\/([^/?#]*)(\/[^?#]*)?$/u.exec(rest);
  const authority = parts?.[1] ?? "";
  if (authority.includes("@")) {
    // The URL is shown in logs and answers, and so it is not quoted either.
    return {
      problem: "store holds credentials",
      why: "whoever sees the process can read them",
      hint: "write them into etcd.username and the file of etcd.passwordFile",
    };
  }
  if (authority === "")
    return { problem: `${quote(url)} names no member of etcd`, hint: `write ${scheme}://host:2379` };
  const endpoints: string[] = [];
  for (const member of authority.split(",")) {
    const endpoint = /:\d+$/u.test(member.replace(/^\[.*\]/u, "")) ? member : `${member}:${ETCD_PORT}`;
    const parsed = parseEndpoint(endpoint);
    if ("problem" in parsed) {
      return { problem: `${quote(member)} is not an endpoint of etcd`, why: parsed.problem, hint: parsed.hint };
    }
    endpoints.push(endpoint);
  }
  const prefix = (parts?.[2] ?? "").replaceAll(/\/+/gu, "/").replace(/\/$/u, "");
  return { kind: "etcd", secure: scheme === "etcds", endpoints, prefix: prefix === "" ? "/sidelane" : prefix };
}

/** RFC 1123 label, as Kubernetes has it for namespaces. */
const NAMESPACE = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/u;

function kubernetesIn(url: string, rest: string): StoreLocation | StoreUrlProblem {
  const namespace = rest.replace(/^\/\//u, "").replace(/\/$/u, "");
  if (namespace === "") return { kind: "kubernetes" };
  if (rest.startsWith("//") && NAMESPACE.test(namespace)) return { kind: "kubernetes", namespace };
  const hint = "write kubernetes://sidelane, or kubernetes for the namespace that the control plane runs in";
  return { problem: `${quote(url)} names no namespace`, why: "it is one name of small letters, digits and -", hint };
}
