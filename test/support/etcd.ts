// Real etcd for tests: one member or several, with TLS or users, each of which can be killed, stopped and started again.
import { execFile, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";

const run = promisify(execFile);

export interface EtcdTls {
  readonly ca: string;
  readonly certificate: string;
  readonly key: string;
  readonly clientCertificates: boolean;
}

export interface EtcdOptions {
  readonly members?: number;
  /** Files in PEM format. */
  readonly tls?: EtcdTls;
  /** More arguments for each. */
  readonly options?: readonly string[];
  /** Where the members are, when not all on 127.0.0.1: addresses, and what starts a program there. */
  readonly places?: readonly { readonly address: string; readonly command: readonly string[] }[];
}

export interface EtcdMember {
  readonly name: string;
  /** `host:port` for clients. */
  readonly endpoint: string;
  /** Resolves when the member answers; without a majority, when it runs. */
  start(): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** SIGKILL. */
  kill(): Promise<void>;
  /** Removes what it has stored; it must not run. */
  forget(): Promise<void>;
}

export interface Etcd {
  readonly members: readonly EtcdMember[];
  readonly endpoints: string;
  readonly ctl: (...options: readonly string[]) => Promise<string>;
  readonly leader: () => Promise<EtcdMember>;
}

/** Starts members; they end with the test. Needs `etcd` and `etcdctl` (Debian: etcd-server and etcd-client). */
export async function startEtcd(options: EtcdOptions = {}): Promise<Etcd> {
  await needsEtcd();
  const { tls, places } = options;
  const count = places?.length ?? options.members ?? 1;
  const folder = await mkdtemp(join(tmpdir(), "sidelane-etcd-"));
  const scheme = tls === undefined ? "http" : "https";
  const plans: { name: string; client: string; peer: string; command: readonly string[]; data: string }[] = [];
  for (let i = 0; i < count; i++) {
    const place = places?.[i];
    const [client, peer] = place === undefined ? await freePorts(2) : [2379, 2380];
    const address = place?.address ?? "127.0.0.1";
    const name = `m${i + 1}`;
    plans.push({
      name,
      client: `${address}:${client}`,
      peer: `http://${address}:${peer}`,
      command: [...(place?.command ?? []), "etcd"],
      data: join(folder, name),
    });
  }
  const cluster = plans.map(({ name, peer }) => `${name}=${peer}`).join(",");
  const endpoints = plans.map(({ client }) => client).join(",");
  const tlsOptions = tls === undefined ? [] : [`--cacert=${tls.ca}`, `--cert=${tls.certificate}`, `--key=${tls.key}`];
  const ctl = async (...command: readonly string[]): Promise<string> => {
    const where = [`--endpoints=${plans.map(({ client }) => `${scheme}://${client}`).join(",")}`, ...tlsOptions];
    const { stdout } = await run("etcdctl", [...where, ...command], {
      env: { ...process.env, ETCDCTL_API: "3" },
      maxBuffer: 64 * 1024 * 1024,
    });
    return stdout;
  };
  const members = plans.map(({ name, client, peer, command, data }) => {
    const url = `${scheme}://${client}`;
    const argv = [
      ...[`--name=${name}`, `--data-dir=${data}`, `--initial-cluster=${cluster}`, "--initial-cluster-state=new"],
      ...[`--listen-client-urls=${url}`, `--advertise-client-urls=${url}`],
      ...[`--listen-peer-urls=${peer}`, `--initial-advertise-peer-urls=${peer}`],
      ...["--heartbeat-interval=50", "--election-timeout=500", "--log-level=error", "--logger=zap"],
      ...(tls === undefined ? [] : [`--cert-file=${tls.certificate}`, `--key-file=${tls.key}`]),
      ...(tls?.clientCertificates === true ? ["--client-cert-auth", `--trusted-ca-file=${tls.ca}`] : []),
      ...(options.options ?? []),
    ];
    return memberOf(name, client, command, argv, data);
  });
  onTestFinished(async () => {
    await Promise.all(members.map((member) => member.kill()));
    await rm(folder, { recursive: true, force: true });
  });
  await Promise.all(members.map((member) => member.start()));
  return {
    members,
    endpoints,
    ctl,
    leader: async () => {
      const answer = JSON.parse(await ctl("endpoint", "status", "--write-out=json")) as {
        Endpoint: string;
        Status: { leader: number; header: { member_id: number } };
      }[];
      const found = answer.find(({ Status: { leader, header } }) => leader === header.member_id);
      const member = members.find(({ endpoint }) => found?.Endpoint.endsWith(endpoint));
      if (member === undefined) throw new Error(`no leader in ${JSON.stringify(answer)}`);
      return member;
    },
  };
}

/** Says what is missing and how to get it. */
async function needsEtcd(): Promise<void> {
  for (const [program, ...version] of [
    ["etcd", "--version"],
    ["etcdctl", "version"],
  ] as const) {
    await run(program, version).catch((error: unknown) => {
      throw new Error(`${program} is missing (apt-get install etcd-server etcd-client)`, { cause: error });
    });
  }
}

function memberOf(
  name: string,
  endpoint: string,
  command: readonly string[],
  argv: readonly string[],
  data: string,
): EtcdMember {
  let child: ChildProcess | undefined;
  const [program = "etcd", ...before] = command;
  return {
    name,
    endpoint,
    start: async () => {
      const started = spawn(program, [...before, ...argv], { stdio: ["ignore", "ignore", "pipe"] });
      child = started;
      let errors = "";
      started.stderr.setEncoding("utf8").on("data", (text: string) => (errors = (errors + text).slice(-4000)));
      const exited = once(started, "exit").then(() => {
        throw new Error(`etcd ended: ${errors}`);
      });
      exited.catch(() => {});
      await Promise.race([exited, listening(endpoint)]);
    },
    signal: (signal) => void child?.kill(signal),
    kill: async () => {
      const running = child;
      child = undefined;
      if (running === undefined || running.exitCode !== null || running.signalCode !== null) return;
      const exited = once(running, "exit");
      running.kill("SIGKILL");
      await exited;
    },
    forget: () => rm(data, { recursive: true, force: true }),
  };
}

/** A client port is opened when the member is part of a cluster with a leader. */
async function listening(endpoint: string): Promise<void> {
  const port = Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
  const host = endpoint.slice(0, endpoint.lastIndexOf(":"));
  const endMs = performance.now() + 30_000;
  while (performance.now() < endMs) {
    const socket = connect({ host, port, timeout: 1000 });
    const open = await new Promise<boolean>((resolve) => {
      socket.once("connect", () => resolve(true));
      socket.once("error", () => resolve(false));
      socket.once("timeout", () => resolve(false));
    });
    socket.destroy();
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`etcd at ${endpoint} does not listen`);
}

async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, "127.0.0.1"));
  await Promise.all(servers.map((server) => once(server, "listening")));
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => once(server.close(), "close")));
  return ports;
}
