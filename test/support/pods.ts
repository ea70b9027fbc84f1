// Network namespaces as pods have them, on one bridge: a process in one has its own loopback, ports and rules. Needs root, `ip`
// (Debian: iproute2) and `iptables`; everything is removed with the test.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { onTestFinished } from "vitest";

const exec = promisify(execFile);
const root = join(import.meta.dirname, "..", "..");
const main = join(root, "src", "main.ts");

/** User of apps and clients; the sidecar has its own. */
const APP_USER = 1000;
const SIDECAR_USER = 15_065;
/** All that an init container is given. */
const INIT_CAPABILITIES = "-all,+net_admin,+net_raw";

/** What a program in a pod came to. */
export interface Ended {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

/** A process in a pod, with a channel to the test. */
export class PodProcess {
  readonly child: ChildProcess;
  log = "";
  #nextId = 0;

  constructor(child: ChildProcess) {
    this.child = child;
    child.stderr?.setEncoding("utf8").on("data", (text: string) => (this.log += text));
    child.setMaxListeners(0);
  }

  /** Asks, and resolves with the answer; rejects with the error's text. */
  async ask<Answer = string>(op: string, ...args: readonly unknown[]): Promise<Answer> {
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    const onMessage = (message: { readonly id: number; readonly value: Answer; readonly error?: string }): void => {
      if (message.id !== id) return;
      this.child.off("message", onMessage);
      if (message.error === undefined) resolve(message.value);
      else reject(new Error(message.error));
    };
    this.child.on("message", onMessage);
    this.child.send({ id, op, args });
    return promise;
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const exited = once(this.child, "exit");
    this.child.kill(signal);
    await exited;
  }
}

export class Pod {
  readonly namespace: string;
  readonly ipv4: string;
  /** Undefined: there is no IPv6 in it. */
  readonly ipv6: string | undefined;

  constructor(namespace: string, ipv4: string, ipv6: string | undefined) {
    this.namespace = namespace;
    this.ipv4 = ipv4;
    this.ipv6 = ipv6;
  }

  /** A program of this project; resolves when it has said that it is up. */
  async start(script: string, args: readonly string[], user = APP_USER): Promise<PodProcess> {
    const command = ["netns", "exec", this.namespace, "setpriv", `--reuid=${user}`, `--regid=${user}`];
    const child = spawn(
      "ip",
      [...command, "--clear-groups", "--no-new-privs", "--bounding-set=-all", process.execPath, script, ...args],
      { stdio: ["ignore", "ignore", "pipe", "ipc"], env: { ...process.env, NODE_OPTIONS: "" } },
    );
    const started = new PodProcess(child);
    onTestFinished(() => started.kill());
    const failed = once(child, "exit").then(([code]) => {
      throw new Error(`${script} ended with ${String(code)}: ${started.log}`);
    });
    failed.catch(() => {});
    await Promise.race([once(child, "message"), failed]);
    return started;
  }

  app(name: string): Promise<PodProcess> {
    return this.start(join(import.meta.dirname, "pod-app.ts"), [name]);
  }

  client(): Promise<PodProcess> {
    return this.start(join(import.meta.dirname, "pod-client.ts"), []);
  }

  /** `sidelane proxy`, as the sidecar's user. */
  async sidecar(config: object, table: object): Promise<PodProcess> {
    const folder = await mkdtemp(join(tmpdir(), "sidelane-pod-"));
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    await writeFile(join(folder, "routes.yaml"), JSON.stringify(table));
    const file = join(folder, "proxy.yaml");
    await writeFile(file, JSON.stringify({ ...config, table: { file: "routes.yaml" } }));
    return this.start(main, ["proxy", "--config", file], SIDECAR_USER);
  }

  /** `sidelane intercept` as an init container runs it: root, on a read-only file system, with nothing but two capabilities. */
  intercept(...flags: readonly string[]): Promise<Ended> {
    const readOnly = "mount --make-rprivate / && mount -o remount,bind,ro / && mount -t tmpfs -o ro none /run";
    const node = `exec setpriv --no-new-privs --inh-caps=-all --bounding-set=${INIT_CAPABILITIES} "$@"`;
    return this.run(
      "unshare",
      "--mount",
      "sh",
      "-c",
      `${readOnly} && ${node}`,
      "sh",
      process.execPath,
      main,
      "intercept",
      ...flags,
    );
  }

  /** A program as root. */
  async run(...command: readonly string[]): Promise<Ended> {
    try {
      const { stdout, stderr } = await exec("ip", ["netns", "exec", this.namespace, ...command]);
      return { status: 0, out: stdout, err: stderr };
    } catch (error) {
      const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
      return { status: code, out: stdout, err: stderr };
    }
  }
}

/** Pods that reach each other; gone when the test is over. */
export async function makePods(count: number, { ipv6 = true } = {}): Promise<readonly Pod[]> {
  const id = randomInt(0x1000, 0xffff).toString(16);
  const net = `10.${randomInt(128, 192)}.${randomInt(0, 255)}`;
  const bridge = `slp${id}`;
  const ip = async (...argv: readonly string[]): Promise<void> => void (await exec("ip", argv));
  onTestFinished(async () => {
    for (let i = 0; i < count; i++) {
      await ip("link", "del", `${bridge}v${i}`).catch(() => {});
      await ip("netns", "del", `${bridge}n${i}`).catch(() => {});
    }
    await ip("link", "del", bridge).catch(() => {});
  });
  await ip("link", "add", bridge, "type", "bridge").catch((error: unknown) => {
    throw new Error("network namespaces are not permitted here: these tests need root (CAP_NET_ADMIN) and iproute2", {
      cause: error,
    });
  });
  await ip("link", "set", bridge, "up");
  const pods: Pod[] = [];
  for (let i = 0; i < count; i++) {
    const pod = new Pod(`${bridge}n${i}`, `${net}.${i + 2}`, ipv6 ? `fd5d:${id}::${i + 2}` : undefined);
    pods.push(pod);
    const outer = `${bridge}v${i}`;
    await ip("netns", "add", pod.namespace);
    if (!ipv6) {
      for (const which of ["all", "default", "lo"])
        await pod.run("sysctl", "-qw", `net.ipv6.conf.${which}.disable_ipv6=1`);
    }
    await ip("link", "add", outer, "type", "veth", "peer", "name", "eth0", "netns", pod.namespace);
    await ip("link", "set", outer, "master", bridge, "up");
    await ip("-n", pod.namespace, "addr", "add", `${pod.ipv4}/24`, "dev", "eth0");
    if (pod.ipv6 !== undefined) await ip("-n", pod.namespace, "addr", "add", `${pod.ipv6}/64`, "dev", "eth0", "nodad");
    await ip("-n", pod.namespace, "link", "set", "eth0", "up");
    await ip("-n", pod.namespace, "link", "set", "lo", "up");
  }
  return pods;
}
