// The test node's network: a namespace that is the node, one for each pod, and a cable from the host into the node. Needs root and
// `ip` (Debian: iproute2) and `iptables`.
//
// All is routed, nothing bridged, so every packet between pods passes the node's iptables and keeps its sender's address. There is
// no way out of the node but the one to this host: a pod that asks for an address outside fails at once.
//
// Names carry the id of the process that made them, so the next start finds what a killed one left behind.
import { execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { existsSync } from "node:fs";
import { readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);
const ip = async (...argv: readonly string[]): Promise<void> => void (await run("ip", argv));

let runs = 0;

export interface PodNetwork {
  /** The name of the network namespace. */
  readonly namespace: string;
  readonly address: string;
  remove(): Promise<void>;
}

export class NodeNetwork {
  readonly id: string;
  /** For the API server's --service-cluster-ip-range. */
  readonly serviceRange: string;
  readonly #prefix: string;
  readonly #ofPods = new Set<string>();
  readonly #pods = new Set<PodNetwork>();
  #last = 1;

  private constructor(id: string, prefix: string, serviceRange: string) {
    this.id = id;
    this.#prefix = prefix;
    this.serviceRange = serviceRange;
  }

  /**
   * Made before the cluster and closed after it: the host routes the ranges of pods and Services into the node only as long as it
   * is there. Ranges are drawn, so that several can be at once.
   */
  static async make(): Promise<NodeNetwork> {
    await sweep();
    const id = `slk${process.pid}n${(runs += 1)}`;
    const network = new NodeNetwork(id, `10.244.${randomInt(0, 256)}`, `10.96.${randomInt(0, 256)}.0/24`);
    try {
      await network.#make();
    } catch (cause) {
      await network.close();
      throw new Error("no network for a test node: it needs root (CAP_NET_ADMIN), iproute2 and iptables", { cause });
    }
    return network;
  }

  /** Of the node in the pods' range: their gateway. */
  get nodeAddress(): string {
    return `${this.#prefix}.1`;
  }

  /** Of the host in the pods' range: from here come probes and tests, here are names and the API server. */
  get hostAddress(): string {
    return `${this.#prefix}.254`;
  }

  /** For the certificate of the API server: where pods find it, the first address of the Services, and this host's. */
  get apiAddresses(): readonly string[] {
    return [this.serviceRange.replace(/0\/24$/u, "1"), this.hostAddress];
  }

  async #make(): Promise<void> {
    const { id, nodeAddress, hostAddress } = this;
    await ip("netns", "add", id);
    await ip("link", "add", id, "type", "veth", "peer", "name", "host0", "netns", id);
    await ip("addr", "add", `${hostAddress}/32`, "dev", id);
    await ip("link", "set", id, "up");
    await ip("-n", id, "link", "set", "lo", "up");
    await ip("-n", id, "addr", "add", `${nodeAddress}/32`, "dev", "host0");
    await ip("-n", id, "link", "set", "host0", "up");
    await ip("-n", id, "route", "add", `${hostAddress}/32`, "dev", "host0", "src", nodeAddress);
    for (const range of [`${this.#prefix}.0/24`, this.serviceRange]) {
      await ip("-n", id, "route", "add", "unreachable", range);
    }
    await ip("route", "add", `${nodeAddress}/32`, "dev", id, "src", hostAddress);
    for (const range of [`${this.#prefix}.0/24`, this.serviceRange]) {
      await ip("route", "add", range, "via", nodeAddress, "dev", id, "src", hostAddress);
    }
    await this.inNode(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
    await this.restore(
      [
        "*nat",
        ":SERVICES -",
        ":HAIRPIN -",
        "-A PREROUTING -j SERVICES",
        "-A OUTPUT -j SERVICES",
        "-A POSTROUTING -j HAIRPIN",
        "COMMIT",
        "",
      ].join("\n"),
    );
  }

  inNode(command: readonly string[]): Promise<unknown> {
    return run("ip", ["netns", "exec", this.id, ...command]);
  }

  /** Gives the node's iptables new rules. */
  async restore(rules: string): Promise<void> {
    const child = spawn("ip", ["netns", "exec", this.id, "iptables-restore", "-w", "--noflush"], {
      stdio: ["pipe", "ignore", "pipe"],
    });
    let said = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
    child.stdin.end(rules);
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    if (code !== 0) throw new Error(`iptables-restore ends with ${code}: ${said}\n${rules}`);
  }

  async addPod(): Promise<PodNetwork> {
    const address = this.#nextAddress();
    const at = address.split(".")[3] as string;
    const namespace = `${this.id}p${at}`;
    const outer = `p${at}`;
    const pod: PodNetwork = {
      namespace,
      address,
      remove: async () => {
        if (!this.#pods.delete(pod)) return;
        await ip("-n", this.id, "link", "del", outer).catch(() => {});
        await ip("netns", "del", namespace).catch(() => {});
        this.#ofPods.delete(address);
      },
    };
    this.#pods.add(pod);
    await ip("netns", "add", namespace);
    await ip("-n", this.id, "link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", namespace);
    await ip("-n", this.id, "link", "set", outer, "up");
    await ip("-n", this.id, "route", "add", `${address}/32`, "dev", outer, "src", this.nodeAddress);
    await ip("-n", namespace, "link", "set", "lo", "up");
    await ip("-n", namespace, "addr", "add", `${address}/32`, "dev", "eth0");
    await ip("-n", namespace, "link", "set", "eth0", "up");
    await ip("-n", namespace, "route", "add", `${this.nodeAddress}/32`, "dev", "eth0", "src", address);
    await ip("-n", namespace, "route", "add", "default", "via", this.nodeAddress, "src", address);
    return pod;
  }

  /** Not the one that was free last, so that nobody takes a new pod for one that is gone. */
  #nextAddress(): string {
    for (let tried = 0; tried < 252; tried++) {
      this.#last = this.#last >= 253 ? 2 : this.#last + 1;
      const address = `${this.#prefix}.${this.#last}`;
      if (this.#ofPods.has(address)) continue;
      this.#ofPods.add(address);
      return address;
    }
    throw new Error("the test node has no address left: it has place for 252 pods");
  }

  async close(): Promise<void> {
    for (const pod of this.#pods) await pod.remove();
    await ip("link", "del", this.id).catch(() => {});
    await ip("netns", "del", this.id).catch(() => {});
  }
}

/** Ends and removes what a process that is gone has left: its pods' processes, namespaces, cables and files. */
async function sweep(): Promise<void> {
  const names = await readdir("/run/netns").catch(() => []);
  for (const name of names) {
    if (!isOrphan(name)) continue;
    const { stdout } = await run("ip", ["netns", "pids", name]).catch(() => ({ stdout: "" }));
    for (const pid of stdout.split("\n").filter(Boolean)) {
      try {
        process.kill(Number(pid), "SIGKILL");
      } catch {
        // It has ended meanwhile.
      }
    }
    await ip("link", "del", name).catch(() => {});
    await ip("netns", "del", name).catch(() => {});
  }
  for (const name of await readdir(tmpdir())) {
    if (isOrphan(name)) await rm(join(tmpdir(), name), { recursive: true, force: true });
  }
}

function isOrphan(name: string): boolean {
  const pid = /^slk(\d+)n\d+(?:p\d+)?$/u.exec(name)?.[1];
  return pid !== undefined && pid !== String(process.pid) && !existsSync(`/proc/${pid}`);
}
