// What the fields of `tls` and `upstreamTls` say about each other. What the files hold: check-tls-files.ts.

import { isIP } from "node:net";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { checkName } from "../routing/names.ts";
import type { ProxyConfigDocument } from "./proxy-config.ts";
import type { ListenerTlsConfig, UpstreamTlsConfig } from "./tls-config.ts";

/** Where checks put what they find. */
export interface CheckContext {
  readonly problems: Finding[];
  readonly warnings: Finding[];
  /** Makes paths of the file absolute. */
  readonly resolvePath: (path: string) => string;
}

type ListenerDocument = ProxyConfigDocument["listeners"][number];
type UpstreamDocument = ProxyConfigDocument["upstreamTls"][string];

/** `tls` of a listener, paths made absolute. */
export function toListenerTls(
  tls: NonNullable<ListenerDocument["tls"]>,
  { protocol }: ListenerDocument,
  name: string,
  listenerPath: Path,
  { problems, resolvePath }: CheckContext,
): ListenerTlsConfig {
  const path = [...listenerPath, "tls"];
  if (tls.clientCertificates !== "none" && tls.ca === undefined) {
    problems.push({
      place: valueAt(...path, "clientCertificates"),
      message: `listener ${name} asks for client certificates and has no ca`,
      why: "without it nothing tells good ones from bad ones",
      hint: "add ca: ./clients-ca.crt",
    });
  }
  if (tls.clientCertificates === "none" && tls.ca !== undefined) {
    problems.push({
      place: nameAt(...path, "ca"),
      message: `listener ${name} has a ca and asks for no client certificates`,
      why: "nothing would be verified by it",
      hint: "add clientCertificates: required, or remove it",
    });
  }
  if (tls.plaintext === "allow" && protocol !== "auto") {
    problems.push({
      place: valueAt(...path, "plaintext"),
      message: `listener ${name} allows plaintext beside TLS with protocol ${protocol}`,
      why: "only protocol auto looks at the first bytes, by which they are told apart",
      hint: "write protocol: auto, or use two listeners",
    });
  }
  const { ca, ...rest } = tls;
  return {
    ...rest,
    certificate: resolvePath(tls.certificate),
    key: resolvePath(tls.key),
    ...(ca === undefined ? {} : { ca: resolvePath(ca) }),
  };
}

/** `upstreamTls`, paths made absolute. */
export function toUpstreamTls(
  services: ProxyConfigDocument["upstreamTls"],
  context: CheckContext,
): Readonly<Record<string, UpstreamTlsConfig>> {
  const entries = Object.entries(services).map(([service, tls]) => {
    const path = ["upstreamTls", service];
    const wrongName = checkName(service);
    if (wrongName !== undefined) {
      context.problems.push({
        place: nameAt(...path),
        message: `${JSON.stringify(service)} is not a service name`,
        why: wrongName.problem,
        hint: service === "*" ? "write an entry for each service" : wrongName.hint,
      });
    }
    checkServerName(tls.serverName, path, context.problems);
    checkClientPair(tls, service, path, context.problems);
    checkVerify(tls, service, path, context);
    const { ca, serverName, certificate, key, verify } = tls;
    const resolved: UpstreamTlsConfig = {
      ...(ca === undefined ? {} : { ca: context.resolvePath(ca) }),
      ...(serverName === undefined ? {} : { serverName }),
      ...(certificate === undefined ? {} : { certificate: context.resolvePath(certificate) }),
      ...(key === undefined ? {} : { key: context.resolvePath(key) }),
      verify,
    };
    return [service, resolved] as const;
  });
  return Object.fromEntries(entries);
}

/** RFC 6066 §3: a DNS name, not an address. */
export function checkServerName(
  serverName: string | undefined,
  path: Path,
  problems: Finding[],
  wanted = "a name that the endpoint's certificate has",
): void {
  if (serverName === undefined) return;
  const isName =
    /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?)*$/u;
  const isAddress = isIP(serverName) !== 0;
  if (!isAddress && isName.test(serverName)) return;
  problems.push({
    place: valueAt(...path, "serverName"),
    message: `${JSON.stringify(serverName)} is not a server name`,
    why: isAddress ? "TLS asks for names, not for addresses" : "it is the name of a host, without a port",
    hint: `write ${wanted}`,
  });
}

export function checkClientPair(
  tls: { readonly certificate?: string | undefined; readonly key?: string | undefined },
  service: string,
  path: Path,
  problems: Finding[],
): void {
  if ((tls.certificate === undefined) === (tls.key === undefined)) return;
  const [has, lacks] = tls.key === undefined ? ["certificate", "key"] : ["key", "certificate"];
  problems.push({
    place: nameAt(...path, has),
    message: `TLS to ${service} has a ${has} and no ${lacks}`,
    why: "one is of no use without the other",
    hint: `add ${lacks}: ./${lacks === "key" ? "tls.key" : "tls.crt"}`,
  });
}

function checkVerify(tls: UpstreamDocument, service: string, path: Path, { problems, warnings }: CheckContext): void {
  if (tls.verify) return;
  if (tls.ca !== undefined) {
    problems.push({
      place: valueAt(...path, "verify"),
      other: nameAt(...path, "ca"),
      message: `TLS to ${service} has a ca and does not verify`,
      why: "nothing would be verified by it",
      hint: "remove one of the two",
    });
    return;
  }
  warnings.push({
    place: valueAt(...path, "verify"),
    message: `endpoints of ${service} are believed to be what they say`,
    why: "whoever can answer in their place reads the requests and writes the answers",
    hint: "write ca: with the path of the authority that made their certificates",
  });
}
