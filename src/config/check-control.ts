// What one field of a control config says about another, and the spelling of addresses and URLs.

import { hostname } from "node:os";
import { parseEndpoint, parseHost } from "../routing/endpoint-name.ts";
import { nameAt, valueAt } from "../routing/finding.ts";
import type { Finding, Path } from "../routing/finding.ts";
import { Addresses, isLoopbackHost, malformed, quote } from "./addresses.ts";
import type { CheckContext } from "./check-tls.ts";
import type {
  AuthConfig,
  ConnectConfig,
  ControlConfig,
  ControlConfigDocument,
  ReplicasConfig,
  ServerConfig,
} from "./control-config.ts";
import { toStore } from "./check-store.ts";

/** `config` is only meaningful when there are no problems. */
export interface CheckedControlConfig {
  readonly config: ControlConfig;
  readonly problems: readonly Finding[];
  readonly warnings: readonly Finding[];
}

const servers = ["api", "feed"] as const;
type ServerName = (typeof servers)[number];

/** `resolvePath` makes paths of the file absolute, `resolveStore` that of a store. */
export function toControlConfig(
  document: ControlConfigDocument,
  resolvePath: (path: string) => string,
  resolveStore: (path: string) => string = resolvePath,
): CheckedControlConfig {
  const problems: Finding[] = [];
  const warnings: Finding[] = [];
  const context: CheckContext = { problems, warnings, resolvePath };
  const store = toStore(document, { ...context, resolveStore });
  const addresses = new Addresses(problems);
  const open = servers.filter((server) => {
    const endpoint = addresses.claim(document[server].address, [server, "address"], names[server]);
    return endpoint !== undefined && !isLoopbackHost(endpoint.host);
  });
  const auth = toAuth(document, open, context);
  const advertise = toAdvertise(document.advertise, problems);
  const connect = toConnect(document, problems);
  const config: ControlConfig = {
    store,
    api: toServer(document.api, resolvePath),
    feed: toServer(document.feed, resolvePath),
    ...(advertise === undefined ? {} : { advertise }),
    replicas: toReplicas(document, context),
    auth,
    connect,
    limits: document.limits,
    timeouts: document.timeouts,
    log: document.log,
  };
  return { config, problems, warnings };
}

const names: Readonly<Record<ServerName, string>> = { api: "the API", feed: "the table feed" };

function toServer({ address, tls }: ControlConfigDocument["api"], resolvePath: (path: string) => string): ServerConfig {
  if (tls === undefined) return { address };
  const { certificate, key, clientCa } = tls;
  return {
    address,
    tls: {
      certificate: resolvePath(certificate),
      key: resolvePath(key),
      ...(clientCa === undefined ? {} : { clientCa: resolvePath(clientCa) }),
    },
  };
}

function toAuth(
  document: ControlConfigDocument,
  open: readonly ServerName[],
  { problems, warnings, resolvePath }: CheckContext,
): AuthConfig {
  const { auth } = document;
  const [first] = open;
  if (auth === undefined || auth === "none") {
    if (first !== undefined) {
      const finding = {
        place: valueAt(first, "address"),
        message: `${names[first]} listens on ${document[first].address} and asks nobody who they are`,
        why: "whoever reaches it may change where requests go",
      };
      if (auth === undefined) {
        const hint = "add auth: { tokens: ./tokens.yaml }, or write auth: none where the network is guarded";
        problems.push({ ...finding, hint });
      } else warnings.push({ ...finding, hint: "write auth: { tokens: ./tokens.yaml }, or guard the port" });
    }
    return { kind: "none" };
  }
  const { tokens, certificates, kubernetes } = auth;
  if (tokens === undefined && certificates.length === 0 && kubernetes === undefined) {
    const message = "auth has neither tokens nor certificates nor kubernetes";
    const why = "nobody could do anything";
    problems.push({ place: valueAt("auth"), message, why, hint: "write tokens: ./tokens.yaml, or auth: none" });
  }
  const verifies = servers.some((server) => document[server].tls?.clientCa !== undefined);
  if (certificates.length > 0 && !verifies) {
    problems.push({
      place: nameAt("auth", "certificates"),
      message: "auth.certificates gives roles to certificates, and neither api.tls nor feed.tls has a clientCa",
      why: "without one clients are not asked for certificates",
      hint: "add clientCa: ./clients-ca.crt to api.tls or feed.tls",
    });
  }
  for (const server of open) {
    if (document[server].tls !== undefined || (tokens === undefined && kubernetes === undefined)) continue;
    warnings.push({
      place: valueAt(server, "address"),
      message: `${names[server]} listens on ${document[server].address} without TLS`,
      why: "tokens can be read by whoever can read the network",
      hint: `add ${server}.tls, or guard the network`,
    });
  }
  return {
    kind: "credentials",
    ...(tokens === undefined ? {} : { tokens: resolvePath(tokens) }),
    certificates,
    ...(kubernetes === undefined ? {} : { kubernetes }),
  };
}

function toAdvertise(text: string | undefined, problems: Finding[]): string | undefined {
  if (text === undefined) return undefined;
  const url = URL.parse(text);
  const wrong = (message: string, hint = "write http://control-0:15020"): void =>
    void problems.push({ place: valueAt("advertise"), message, hint });
  if (url === null || url.hostname === "" || (url.protocol !== "http:" && url.protocol !== "https:")) {
    wrong(`${quote(text)} is not a URL of http or https`);
  } else if (url.username !== "" || url.password !== "") {
    wrong("advertise holds credentials, which replicas do not need", `write ${url.protocol}//${url.host}`);
  } else if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    wrong(`${quote(text)} has more than a host and a port`, `write ${url.origin}`);
  }
  return url?.origin ?? text;
}

function toReplicas(
  { api, advertise, replicas }: ControlConfigDocument,
  { problems, resolvePath }: CheckContext,
): ReplicasConfig {
  const { ca } = replicas;
  if (ca === undefined) return {};
  if (api.tls === undefined && advertise?.startsWith("https:") !== true) {
    problems.push({
      place: nameAt("replicas", "ca"),
      message: "replicas.ca says whose certificates replicas believe, and they ask each other without TLS",
      why: "nothing would be verified by it",
      hint: "add api.tls, or remove it",
    });
  }
  return { ca: resolvePath(ca) };
}

function toConnect({ api, feed, connect }: ControlConfigDocument, problems: Finding[]): ConnectConfig {
  const host = connect.host ?? hostname();
  const parsed = parseHost(host);
  if (connect.host !== undefined && "problem" in parsed) {
    problems.push(malformed(["connect", "host"], `${quote(host)} is not a host`, parsed));
  }
  const path: Path = ["connect", "ports"];
  const match = /^([0-9]{1,5})(?:-([0-9]{1,5}))?$/u.exec(connect.ports);
  const first = Number(match?.[1] ?? 0);
  const last = Number(match?.[2] ?? match?.[1] ?? 0);
  if (match === null || first === 0 || last > 65_535 || first > last) {
    problems.push({
      place: valueAt(...path),
      message: `${quote(connect.ports)} is not a range of ports`,
      why: "it is the first and the last one, from 1 to 65535",
      hint: "write 16000-16099",
    });
  }
  for (const server of servers) {
    const own = parseEndpoint({ api, feed }[server].address, true);
    if ("problem" in own || own.port < first || own.port > last) continue;
    problems.push({
      place: valueAt(...path),
      other: valueAt(server, "address"),
      message: `connect.ports ${connect.ports} has ${own.port}, on which ${names[server]} listens`,
      hint: "write another range",
    });
  }
  return { host, ports: { first, last } };
}
