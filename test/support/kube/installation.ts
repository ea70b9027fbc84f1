// Sidelane installed by its chart into a cluster without nodes: the objects are the chart's own, the pods those of fake-node.ts,
// and what would run in them are processes of this machine, with the chart's configs and with the rights of the chart's
// service accounts. Certificates are those that the operator makes, and the API server reaches the webhook by its Service.
//
// EndpointSlices take no loopback address, so the processes listen on one of 198.18.0.0/15 (RFC 2544: for tests only) that is put
// on `lo` meanwhile; that needs root and `ip`.
import { type ChildProcess, execFile, fork } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { access, mkdir, writeFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { request } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { parse } from "yaml";
import type { Cluster } from "./cluster.ts";
import { startFakeNode } from "./fake-node.ts";
import type { Behaviour, FakeNode, Pod } from "./fake-node.ts";
import type { KubeObject } from "./kube-api.ts";

const run = promisify(execFile);
const project = join(import.meta.dirname, "../../..");
const NAMESPACE = "sidelane";
/** Of the address; at most 15 characters with the process id. */
const LABEL = "lo:sl";

export type RoleName = "control" | "operator" | "webhook";

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

interface Config {
  readonly [field: string]: unknown;
}

export interface InstallationOptions {
  /** `NAME=VALUE` as for `helm --set`. */
  readonly values?: readonly string[];
  /** Folder of the chart, when not this checkout's. */
  readonly chart?: string;
}

/** What the control plane's API answered. */
export interface ControlAnswer {
  readonly status: number;
  /** {} without a body. */
  readonly json: Readonly<Record<string, unknown>>;
}

/** A process of Sidelane beside the cluster. */
export class RoleProcess {
  readonly name: RoleName;
  /** `host:port` of health and metrics; "" when it has none of its own. */
  admin = "";
  readonly #child: ChildProcess;
  #log = "";

  constructor(name: RoleName, config: string, env: NodeJS.ProcessEnv) {
    this.name = name;
    this.#child = fork(join(project, "src/main.ts"), [name, "--config", config], {
      execArgv: ["--import", join(import.meta.dirname, "cluster-names.ts")],
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      env,
    });
    this.#child.stderr?.setEncoding("utf8").on("data", (part: string) => (this.#log += part));
  }

  async listening(): Promise<void> {
    const ended = once(this.#child, "exit").then(([code]) => {
      throw new Error(`${this.name} ended with ${String(code)}: ${this.#log}`);
    });
    ended.catch(() => {});
    const [message] = (await Promise.race([once(this.#child, "message"), ended])) as [{ readonly admin?: string }];
    this.admin = message.admin ?? "";
  }

  /** All that it has said. */
  get log(): string {
    return this.#log;
  }

  /** What the admin server answers; rejects when it does not. */
  async ask(path: string): Promise<{ readonly status: number; readonly body: string }> {
    const answer = await fetch(`http://${this.admin}${path}`);
    return { status: answer.status, body: await answer.text() };
  }

  async stop(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill(signal);
    await exit;
  }
}

/** One installation with all three roles. */
export class Installation {
  readonly cluster: Cluster;
  /** What pods outside of Sidelane's namespace do; `reconsider()` after a change. */
  behave: (pod: Pod) => Behaviour = () => ({ kind: "running" });
  readonly #address: string;
  #node: FakeNode | undefined;
  readonly #roles = new Map<RoleName, RoleProcess>();
  #developer = "";

  static async start(
    cluster: Cluster,
    { values = [], chart = join(project, "deploy/helm/sidelane") }: InstallationOptions = {},
  ): Promise<Installation> {
    const address = await addAddress();
    try {
      const set = ["control.replicas=1", "operator.replicas=1", "webhook.replicas=1", ...values].join(",");
      // Without hooks: they are Jobs, and nothing here would run them.
      const options = ["--namespace", NAMESPACE, "--create-namespace", "--no-hooks", "--set", set];
      await cluster.helm(["install", "sidelane", chart, ...options]);
      const installation = new Installation(cluster, address);
      try {
        installation.#node = await startFakeNode(cluster.api, {
          behave: (pod) => (isOurs(pod) ? { kind: "running" } : installation.behave(pod)),
          podIp: (pod) => (isOurs(pod) ? address : undefined),
        });
        // It makes the certificates of the others, and asks the control plane until it is there.
        await installation.startRole("operator");
        await Promise.all([installation.startRole("control"), installation.startRole("webhook")]);
        await installation.ready();
      } catch (error) {
        await installation.stop();
        throw error;
      }
      return installation;
    } catch (error) {
      await removeAddress(address);
      throw error;
    }
  }

  private constructor(cluster: Cluster, address: string) {
    this.cluster = cluster;
    this.#address = address;
  }

  /** Pods do what `behave` says by now. */
  async reconsider(): Promise<void> {
    await this.#node?.reconsider();
  }

  role(name: RoleName): RoleProcess {
    const role = this.#roles.get(name);
    if (role === undefined) throw new Error(`${name} does not run`);
    return role;
  }

  /** Starts a role, anew if it has run before. */
  async startRole(name: RoleName): Promise<RoleProcess> {
    const { cluster } = this;
    const account = `sidelane-${name}`;
    const folder = join(cluster.folder, name);
    await mkdir(folder, { recursive: true });
    const maps = `/api/v1/namespaces/${NAMESPACE}/configmaps`;
    const { data } = await cluster.api.get<{ readonly data: Readonly<Record<string, string>> }>(`${maps}/${account}`);
    const config = parse(data[`${name}.yaml`] ?? "") as Config;
    const file = join(folder, `${name}.yaml`);
    const changed =
      name === "operator"
        ? await this.#operatorConfig(config, folder)
        : await this.#servingConfig(name, config, folder);
    await writeFile(file, JSON.stringify(changed));
    const role = new RoleProcess(name, file, {
      PATH: process.env["PATH"],
      HOME: folder,
      KUBECONFIG: await cluster.kubeconfigFor(NAMESPACE, account),
      POD_IP: this.#address,
      POD_NAMESPACE: NAMESPACE,
      SIDELANE_TEST_SERVICES: this.#address,
    });
    await this.#roles.get(name)?.stop();
    this.#roles.set(name, role);
    await role.listening();
    return role;
  }

  /** Resolves when control plane and webhook answer as the cluster sees them. */
  async ready(): Promise<void> {
    const { api } = this.cluster;
    await expectSoon("the webhook is ready", async () => (await this.role("webhook").ask("/ready")).status === 200);
    await expectSoon(
      "the control plane answers",
      async () => (await this.control("GET", "/v1/services")).status === 200,
    );
    await api.until<Webhooks>(
      "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
      "sidelane",
      ({ webhooks }) => webhooks.every(({ clientConfig }) => (clientConfig.caBundle ?? "") !== ""),
    );
    const service = encodeURIComponent("kubernetes.io/service-name=sidelane-webhook");
    await api.untilAll<Slice>(
      `/apis/discovery.k8s.io/v1/namespaces/${NAMESPACE}/endpointslices?labelSelector=${service}`,
      (slices) => slices.some(({ endpoints }) => endpoints?.some(({ conditions }) => conditions?.ready === true)),
    );
  }

  /** Asks the control plane's API as a developer. */
  async control(method: string, path: string, body?: object): Promise<ControlAnswer> {
    if (this.#developer === "") {
      this.#developer = await this.cluster.token(NAMESPACE, "sidelane-developer", { audience: "sidelane" });
    }
    const { data = {} } = await this.cluster.api.get<Secret>(
      `/api/v1/namespaces/${NAMESPACE}/secrets/sidelane-control-tls`,
    );
    const headers: Record<string, string> = { authorization: `Bearer ${this.#developer}` };
    const content = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    if (content !== undefined) {
      headers["content-type"] = "application/json";
      headers["content-length"] = String(content.length);
    }
    const name = `sidelane-control.${NAMESPACE}.svc`;
    const where = {
      host: this.#address,
      port: 15020,
      servername: name,
      ca: Buffer.from(data["ca.crt"] ?? "", "base64"),
    };
    const sent = request({ ...where, method, path, headers: { host: name, ...headers }, agent: false });
    sent.end(content);
    const [answer] = (await once(sent, "response")) as [IncomingMessage];
    const said = await text(answer);
    return { status: answer.statusCode ?? 0, json: said === "" ? {} : (JSON.parse(said) as Config) };
  }

  /** The last lines of all processes, for the message of a failed test. */
  logs(): string {
    const own = [...this.#roles.values()].map(({ name, log }) => `${name}:\n${log.split("\n").slice(-25).join("\n")}`);
    return [...own, this.cluster.logs(5)].join("\n\n");
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#roles.values()].map((role) => role.stop()));
    await this.#node?.stop();
    await removeAddress(this.#address);
  }

  async #operatorConfig(config: Config, folder: string): Promise<Config> {
    const tokenFile = join(folder, "token");
    await writeFile(tokenFile, await this.cluster.token(NAMESPACE, "sidelane-operator", { audience: "sidelane" }));
    const control = { ...(config["control"] as Config), tokenFile };
    return { ...config, control, admin: { address: "127.0.0.1:0" }, log: { level: "debug" } };
  }

  /** With the certificate as soon as it is there, and the addresses of this test. */
  async #servingConfig(name: "control" | "webhook", config: Config, folder: string): Promise<Config> {
    const { data = {} } = await this.cluster.api.until<Secret>(
      `/api/v1/namespaces/${NAMESPACE}/secrets`,
      `sidelane-${name}-tls`,
      (secret) => (secret.data?.["tls.crt"] ?? "") !== "",
    );
    const tls = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
    for (const file of ["tls.crt", "tls.key", "ca.crt"]) {
      await writeFile(join(folder, file), Buffer.from(data[file] ?? "", "base64"));
    }
    if (name === "webhook") {
      const admin = { address: "127.0.0.1:0" };
      return { ...config, address: `${this.#address}:15443`, admin, tls, timeouts: { drainMs: 0 } };
    }
    return {
      ...config,
      api: { ...(config["api"] as Config), address: `${this.#address}:15020`, tls },
      feed: { ...(config["feed"] as Config), address: `${this.#address}:15021`, tls },
      replicas: { ca: join(folder, "ca.crt") },
      timeouts: { drainMs: 0, probeMs: 1000 },
    };
  }
}

interface Webhooks extends KubeObject {
  readonly webhooks: readonly { readonly clientConfig: { readonly caBundle?: string } }[];
}

interface Slice extends KubeObject {
  readonly endpoints?: readonly { readonly conditions?: { readonly ready?: boolean } }[];
}

function isOurs({ metadata }: Pod): boolean {
  return metadata.namespace === NAMESPACE;
}

/** Asks until it is so; for what tells of no change by itself. Rejects with the last error when it never is. */
export async function expectSoon(what: string, check: () => Promise<boolean>, withinMs = 40_000): Promise<void> {
  const endMs = performance.now() + withinMs;
  let last: unknown;
  while (performance.now() < endMs) {
    try {
      if (await check()) return;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`not within ${withinMs} ms: ${what}`, { cause: last });
}

/** Puts an address on `lo`, labelled with this process, and takes off those of processes that are gone. */
async function addAddress(): Promise<string> {
  await removeLeftovers();
  for (let attempt = 1; ; attempt++) {
    const address = `198.${randomInt(18, 20)}.${randomInt(256)}.${randomInt(1, 255)}`;
    try {
      await run("ip", ["address", "add", `${address}/32`, "dev", "lo", "label", `${LABEL}${process.pid}`]);
      return address;
    } catch (error) {
      // Taken by another test; anything else is so with any address.
      if (attempt < 5) continue;
      throw new Error("no address for tests on lo (needs root, and apt-get install iproute2)", { cause: error });
    }
  }
}

async function removeLeftovers(): Promise<void> {
  const listed = await run("ip", ["-4", "-o", "address", "show", "dev", "lo"]).catch(() => ({ stdout: "" }));
  for (const [, address = "", pid = ""] of listed.stdout.matchAll(/inet (198\.1[89]\.[\d.]+)\/32.* lo:sl(\d+)/gu)) {
    const lives = await access(`/proc/${pid}`).then(
      () => true,
      () => false,
    );
    if (!lives) await removeAddress(address);
  }
}

async function removeAddress(address: string): Promise<void> {
  await run("ip", ["address", "delete", `${address}/32`, "dev", "lo"]).catch(() => {});
}
