// A real Kubernetes without nodes: etcd, kube-apiserver and kube-controller-manager as programs, on ports and in a folder of
// their own, so that any number can run at once. `npm run setup:kube` makes the programs.
//
// What it lacks against a cluster of machines: no scheduler and no kubelet (fake-node.ts and node/ stand in), no service
// addresses that anything answers at, no DNS. The API server reaches webhooks by the EndpointSlices of their service, for
// which it needs no service addresses; these slices refuse loopback addresses, so a webhook on loopback is named by `url`.
import { execFile } from "node:child_process";
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, mkdtemp, readdir, rm, statfs, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { kubeProgram } from "../../../scripts/kube/programs.ts";
import { makeAuthority } from "../certificates.ts";
import { KubeApi } from "./kube-api.ts";
import type { KubeObject } from "./kube-api.ts";
import { startProgram } from "./program.ts";
import type { Program } from "./program.ts";

export interface ClusterOptions {
  /** Addresses of this machine that pods reach the API server at, besides 127.0.0.1; it listens on all then. */
  readonly addresses?: readonly string[];
  /** Files or texts of manifests to apply before the controllers start: the collector of garbage then knows the CRDs at once. */
  readonly manifests?: readonly string[];
  /** More arguments for the API server. */
  readonly apiServer?: readonly string[];
  /** More arguments for the controller manager. */
  readonly controllers?: readonly string[];
  /** Default: 10.96.0.0/16. */
  readonly serviceRange?: string;
}

/** What a command may find different. */
export interface ToolOptions {
  /** The standard input: a manifest for `kubectl apply -f -`. */
  readonly input?: string;
  /** A kubeconfig other than the administrator's. */
  readonly kubeconfig?: string;
  /** It is killed then. Default: two minutes. */
  readonly withinMs?: number;
}

/** What a token is good for. */
export interface TokenOptions {
  /** Default: the API server's. */
  readonly audience?: string;
  /** Name and uid of the pod it is bound to. */
  readonly pod?: { readonly name: string; readonly uid: string };
  /** Default: an hour; the API server gives none for less than ten minutes. */
  readonly seconds?: number;
}

/** A running cluster. */
export interface Cluster {
  /** `https://127.0.0.1:PORT`. */
  readonly server: string;
  readonly port: number;
  /** Its authority's certificate: PEM, and a file of it. */
  readonly ca: string;
  readonly caFile: string;
  /** For files of the suite; removed at the end. */
  readonly folder: string;
  /** As a member of system:masters. */
  readonly api: KubeApi;
  /** The administrator's kubeconfig file. */
  readonly kubeconfig: string;
  /** As the owner of a token. */
  apiAs(token: string): KubeApi;
  /** A token of a service account, which is made if it is not there. */
  token(namespace: string, name: string, options?: TokenOptions): Promise<string>;
  /** A kubeconfig file for a service account, which is made if it is not there. @param server if not at 127.0.0.1. */
  kubeconfigFor(namespace: string, name: string, server?: string): Promise<string>;
  /** What kubectl prints; rejects with what it complains about. */
  kubectl(args: readonly string[], options?: ToolOptions): Promise<string>;
  /** What helm prints; rejects with what it complains about. */
  helm(args: readonly string[], options?: ToolOptions): Promise<string>;
  /** Applies a manifest, and waits until the API serves each CRD that is in it. */
  apply(manifest: string): Promise<void>;
  /** The last lines of all logs, for the message of a failed test. */
  logs(lines?: number): string;
  /** Kills the API server and starts it again on the same port and data. */
  restartApiServer(): Promise<void>;
  /** Kills it; `restartApiServer` brings it back. */
  killApiServer(): Promise<void>;
  /** Stands still until the returned function is called: SIGSTOP. */
  pauseApiServer(): () => void;
  /** Its etcd: `http://127.0.0.1:PORT`, for etcdctl. */
  readonly etcd: string;
  stop(): Promise<void>;
}

const START_MS = 60_000;
/** Another process may take a port between its choice and its use. */
const TRIES = 3;
const PREFIX = "sidelane-kube-";

const controllers = [
  ...["deployment", "replicaset", "statefulset", "daemonset", "job", "cronjob", "ttl-after-finished"],
  ...["endpoints", "endpointslice", "endpointslice-mirroring", "garbage-collector", "namespace", "serviceaccount"],
  ...["root-ca-certificate-publisher", "clusterrole-aggregation", "resourcequota", "disruption"],
].map((name) => `${name}-controller`);

/** Starts one, ready for use: namespace `default` has its service account and pods may be created. The caller stops it. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  for (const name of ["kube-apiserver", "kube-controller-manager", "kubectl", "helm"] as const) kubeProgram(name);
  await promisify(execFile)("etcd", ["--version"]).catch((error: unknown) => {
    throw new Error("etcd is missing (apt-get install etcd-server)", { cause: error });
  });
  await removeLeftovers();
  for (let attempt = 1; ; attempt++) {
    try {
      return await tryStart(options);
    } catch (error) {
      if (attempt === TRIES || !/address already in use/u.test(String(error))) throw error;
    }
  }
}

async function tryStart(options: ClusterOptions): Promise<Cluster> {
  const folder = await mkdtemp(join(await roomyFolder(), `${PREFIX}${process.pid}-`));
  const programs = new Map<string, Program>();
  const apis: KubeApi[] = [];
  const stop = async (): Promise<void> => {
    for (const api of apis) api.close();
    await Promise.all([...programs.values()].map((program) => program.stop()));
    await rm(folder, { recursive: true, force: true, maxRetries: 5 });
  };
  const start = async (name: string, command: readonly string[]): Promise<Program> => {
    const program = await startProgram(name, command, join(folder, `${name}.log`));
    programs.set(name, program);
    return program;
  };
  try {
    const [port, client, peer] = (await freePorts(3)) as [number, number, number];
    const credentials = await writeCredentials(folder, options.addresses ?? []);
    const { ca, caFile, adminToken, kubeconfig } = credentials;
    const server = `https://127.0.0.1:${port}`;
    await writeFile(kubeconfig, kubeconfigText(server, ca, adminToken));
    const apiAs = (token: string): KubeApi => {
      const api = new KubeApi(server, ca, token);
      apis.push(api);
      return api;
    };
    const api = apiAs(adminToken);
    const url = `http://127.0.0.1:${client}`;
    const etcd = await start("etcd", [
      ...["etcd", `--data-dir=${join(folder, "etcd")}`, "--name=m", `--initial-cluster=m=http://127.0.0.1:${peer}`],
      ...[`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`, "--log-level=warn", "--logger=zap"],
      ...[`--listen-peer-urls=http://127.0.0.1:${peer}`, `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`],
    ]);
    const apiServerCommand = [
      ...[kubeProgram("kube-apiserver"), `--etcd-servers=${url}`, `--secure-port=${port}`],
      `--bind-address=${options.addresses === undefined ? "127.0.0.1" : "0.0.0.0"}`,
      ...["--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none", "--allow-privileged=true"],
      ...[`--tls-cert-file=${folder}/server.crt`, `--tls-private-key-file=${folder}/server.key`],
      ...[`--token-auth-file=${folder}/tokens.csv`, "--authorization-mode=Node,RBAC"],
      ...["--service-account-issuer=https://kubernetes.default.svc.cluster.local"],
      ...[`--service-account-key-file=${folder}/sa.pub`, `--service-account-signing-key-file=${folder}/sa.key`],
      `--service-cluster-ip-range=${options.serviceRange ?? "10.96.0.0/16"}`,
      // Webhooks are then reached by their EndpointSlices, because nothing here answers at the addresses of services.
      "--enable-aggregator-routing=true",
      ...(options.apiServer ?? []),
    ];
    const startApiServer = async (): Promise<void> => {
      const program = await start("kube-apiserver", apiServerCommand);
      await ready(api, [etcd, program]);
    };
    await startApiServer();
    const tool = toolsOf(folder, kubeconfig);
    const apply = async (manifest: string): Promise<void> => {
      await tool("kubectl", ["apply", "--server-side", "-f", "-"], { input: manifest });
      await established(api);
    };
    for (const manifest of options.manifests ?? []) {
      if (
        await access(manifest).then(
          () => true,
          () => false,
        )
      ) {
        await tool("kubectl", ["apply", "--server-side", "-f", manifest]);
        await established(api);
      } else await apply(manifest);
    }
    const manager = await start("kube-controller-manager", [
      ...[kubeProgram("kube-controller-manager"), `--kubeconfig=${kubeconfig}`, "--leader-elect=false"],
      ...[`--controllers=${controllers.join(",")}`, "--secure-port=0", "--kube-api-qps=500", "--kube-api-burst=1000"],
      ...[`--service-account-private-key-file=${folder}/sa.key`, `--root-ca-file=${caFile}`],
      ...(options.controllers ?? []),
    ]);
    await withPrograms([etcd, manager], async () => {
      await api.until("/api/v1/namespaces/default/serviceaccounts", "default", () => true, START_MS);
      await api.until("/api/v1/namespaces/default/configmaps", "kube-root-ca.crt", () => true, START_MS);
    });
    const token: Cluster["token"] = async (namespace, name, { audience, pod, seconds = 3600 } = {}) => {
      const accounts = `/api/v1/namespaces/${namespace}/serviceaccounts`;
      await api.create(accounts, { metadata: { name } }).catch(unlessThere);
      const bound = { kind: "Pod", apiVersion: "v1", ...pod };
      const asked = {
        spec: {
          ...(audience === undefined ? {} : { audiences: [audience] }),
          expirationSeconds: seconds,
          ...(pod === undefined ? {} : { boundObjectRef: bound }),
        },
      };
      const made = await api.create<{ readonly status: { readonly token: string } }>(
        `${accounts}/${name}/token`,
        asked,
      );
      return made.status.token;
    };
    return {
      ...{ server, port, ca, caFile, folder, api, kubeconfig, apiAs, token, apply, stop },
      kubeconfigFor: async (namespace, name, at = server) => {
        const file = join(folder, `${namespace}.${name}.kubeconfig`);
        await writeFile(file, kubeconfigText(at, ca, await token(namespace, name, { seconds: 24 * 3600 })));
        return file;
      },
      kubectl: (args, toolOptions) => tool("kubectl", args, toolOptions),
      helm: (args, toolOptions) => tool("helm", args, toolOptions),
      logs: (lines) => [...programs.values()].map((program) => `${program.name}:\n${program.tail(lines)}`).join("\n\n"),
      etcd: url,
      killApiServer: async () => programs.get("kube-apiserver")?.stop(),
      pauseApiServer: () => {
        // setpriv has become the API server.
        const { pid = 0 } = programs.get("kube-apiserver") ?? {};
        process.kill(pid, "SIGSTOP");
        return () => void process.kill(pid, "SIGCONT");
      },
      restartApiServer: async () => {
        await programs.get("kube-apiserver")?.stop();
        await startApiServer();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Keys, certificates and the administrator's token, as files in `folder`. */
async function writeCredentials(
  folder: string,
  addresses: readonly string[],
): Promise<{ readonly ca: string; readonly caFile: string; readonly adminToken: string; readonly kubeconfig: string }> {
  const authority = await makeAuthority("Test Cluster");
  const names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"];
  const pair = await authority.sign("kube-apiserver", { names, addresses: ["127.0.0.1", ...addresses] });
  const signing = generateKeyPairSync("ec", {
    namedCurve: "P-256",
    publicKeyEncoding: { type: "spki", format: "pem" },
    privateKeyEncoding: { type: "sec1", format: "pem" },
  });
  const adminToken = randomBytes(24).toString("hex");
  const caFile = join(folder, "ca.crt");
  const files: Record<string, string> = {
    "ca.crt": authority.certificate,
    "server.crt": pair.certificate,
    "server.key": pair.key,
    "sa.pub": signing.publicKey,
    "sa.key": signing.privateKey,
    "tokens.csv": `${adminToken},admin,admin,"system:masters"\n`,
  };
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content, { mode: 0o600 });
  return { ca: authority.certificate, caFile, adminToken, kubeconfig: join(folder, "admin.kubeconfig") };
}

/** A kubeconfig with everything in it. */
export function kubeconfigText(server: string, ca: string, token: string): string {
  return JSON.stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "test",
    contexts: [{ name: "test", context: { cluster: "test", user: "test", namespace: "default" } }],
    clusters: [{ name: "test", cluster: { server, "certificate-authority-data": Buffer.from(ca).toString("base64") } }],
    users: [{ name: "test", user: { token } }],
  });
}

type Tool = (name: "kubectl" | "helm", args: readonly string[], options?: ToolOptions) => Promise<string>;

/** kubectl and helm with caches and settings of this cluster alone: ports come back, and what is cached by port with them. */
function toolsOf(folder: string, adminKubeconfig: string): Tool {
  return async (name, args, { input = "", kubeconfig = adminKubeconfig, withinMs = 120_000 } = {}) => {
    const home = join(folder, "home");
    await mkdir(home, { recursive: true });
    const env = { PATH: process.env["PATH"], HOME: home, KUBECONFIG: kubeconfig, NO_COLOR: "1" };
    const { promise, resolve, reject } = Promise.withResolvers<string>();
    const options = { env, encoding: "utf8", maxBuffer: 64 * 1024 * 1024, timeout: withinMs } as const;
    const child = execFile(kubeProgram(name), args, options, (error, stdout, stderr) => {
      if (error === null) resolve(stdout);
      else reject(new Error(`${name} ${args.join(" ")}: ${stderr}${stdout}`, { cause: error }));
    });
    // It may end before it has read all, and says why itself.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);
    return promise;
  };
}

async function ready(api: KubeApi, programs: readonly Program[]): Promise<void> {
  await withPrograms(programs, async (signal) => {
    while (!signal.aborted) {
      const answer = await api.raw("/readyz").catch(() => undefined);
      if (answer?.status === 200) return;
      await sleep(50);
    }
  });
}

/** Does `work`, unless one of the programs ends first or it takes too long: rejects with their logs then. */
async function withPrograms(programs: readonly Program[], work: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const over = new AbortController();
  const ended = programs.map(async (program) => {
    const last = await program.ended;
    throw new Error(last);
  });
  const late = sleep(START_MS, undefined, { signal: over.signal }).then(() => {
    throw new Error(programs.map((program) => `${program.name} is not ready:\n${program.tail()}`).join("\n\n"));
  });
  for (const promise of [...ended, late]) promise.catch(() => {});
  await Promise.race([work(over.signal), late, ...ended]).finally(() => over.abort());
}

interface Definition extends KubeObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Resolves when the API serves every CRD there is. */
async function established(api: KubeApi): Promise<void> {
  await api.untilAll<Definition>("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", (definitions) =>
    definitions.every(
      ({ status }) =>
        status?.conditions?.some(({ type, status: value }) => type === "Established" && value === "True") === true,
    ),
  );
}

function unlessThere(error: unknown): void {
  if ((error as { readonly status?: number }).status !== 409) throw error;
}

/** Memory if there is enough of it (Debian's etcd waits for the disk at every write), else the usual place. */
async function roomyFolder(): Promise<string> {
  const stats = await statfs("/dev/shm").catch(() => undefined);
  const room = stats === undefined ? 0 : stats.bavail * stats.bsize;
  return room > 1024 ** 3 ? "/dev/shm" : tmpdir();
}

/** Removes the folders of processes that ended without stopping their cluster; the programs have died with them. */
async function removeLeftovers(): Promise<void> {
  for (const parent of new Set(["/dev/shm", tmpdir()])) {
    for (const name of await readdir(parent).catch(() => [])) {
      const pid = new RegExp(`^${PREFIX}(\\d+)-`, "u").exec(name)?.[1];
      if (
        pid === undefined ||
        (await access(`/proc/${pid}`).then(
          () => true,
          () => false,
        ))
      )
        continue;
      await rm(join(parent, name), { recursive: true, force: true });
    }
  }
}

async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
