// `npm run test:compose`: runs deploy/compose the way its README says: the shop, the sandbox's overlay, the control plane's
// absence, a developer's machine; and looks that nothing is left behind. Needs Linux, root and podman; whatever is missing is
// an error that says how to get it, never a silent skip.
//
// Podman stands in for Docker, so that neither an engine as a service nor a registry is needed: podman-compose (from PyPI) reads
// the files, and the library of `docker compose config` (in Go) has to accept them, too.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { findGo } from "../test/support/toolchains.ts";
import { ContainerEngine, must, requireTools, run } from "./container-engine.ts";
import type { Ended } from "./container-engine.ts";
import { get, indent, NamedChecks, until } from "./named-checks.ts";

const PODMAN_COMPOSE = "1.6.0";
/** `up` builds nothing here; the slowest part is a dozen starts of Node. */
const COMPOSE_MS = 90_000;

const root = join(import.meta.dirname, "..");
const folder = join(root, "deploy", "compose");
const cache = join(root, "node_modules", ".cache", "sidelane-tools");
const project = "sidelane-shop";

/** All right here: that nobody is asked for a password, and that a sidecar may be up before `setup` has named its service. */
const expectedWarnings = [
  "asks nobody who they are",
  "is spoken to without TLS",
  "the table does not have it",
  // While containers come and go the engine writes its name server's file anew, and for a moment a name that is there has no address.
  // That it passed is shown by the orders that went through.
  "endpoint's name cannot be resolved, keeping the last addresses",
];

requireTools("compose", [
  "podman",
  "runc",
  "debootstrap",
  "netavark",
  "aardvark-dns",
  "iptables",
  "python3",
  ["pip3", "python3-pip"],
]);
const checks = new NamedChecks();
const engine = new ContainerEngine("compose", { networks: true });
const podmanCompose = installPodmanCompose();
const [shopPort, controlPort] = await Promise.all([freePort(), freePort()]);
const composeEnv = {
  ...engine.env,
  PYTHONPATH: podmanCompose,
  SHOP_PORT: String(shopPort),
  CONTROL_PORT: String(controlPort),
};
const wrapper = writeWrapper();

try {
  await checks.check("docker compose config accepts the files", acceptedByDocker);
  const base = engine.makeBase();
  await checks.check("the images build", () => {
    engine.buildImage("localhost/sidelane:latest", base, "sidelane");
    engine.buildImage("localhost/sidelane-shop:latest", base, "shop");
  });
  if (checks.failed === 0) await useShop();
} finally {
  engine.reset();
}
checks.conclude("compose");

async function useShop(): Promise<void> {
  await checks.check("the shop starts", () => {
    must(compose([], "up", "--detach"));
    expectEnded("setup");
  });
  if (checks.failed > 0) {
    for (const name of containers()) printLogs(name);
    return; // everything else would only wait for it in vain
  }
  await checks.check("an order passes four services", async () => {
    await until("the entry answers", async () => (await get(shopPort, "/")).status === 200);
    await expectOrder("", "baseline");
    await expectOrder("pr-7", "baseline");
  });
  await checks.check("nothing runs as root or may do more than others", expectHarmless);
  await checks.check("only the entry is published", () => {
    const ports = must(engine.podman("ps", "--format", "{{.Ports}}"))
      .split("\n")
      .filter(Boolean);
    const expected = `127.0.0.1:${shopPort}->80/tcp`;
    if (ports.length !== 1 || ports[0] !== expected) throw new Error(`published: ${ports.join(", ")}`);
  });

  await checks.check("the overlay adds a sandbox, and its key reaches it", async () => {
    must(compose(["sandbox"], "up", "--detach"));
    expectEnded("pr-7");
    await expectOrder("pr-7", "pr-7");
    await expectOrder("", "baseline");
  });
  await checks.check("nothing was worth a warning", expectCleanLogs);
  await checks.check("the same overlay once more changes nothing", async () => {
    must(compose(["sandbox"], "up", "--detach"));
    expectEnded("pr-7");
    await expectOrder("pr-7", "pr-7");
  });

  await checks.check("without the control plane everything goes on, a restarted sidecar included", async () => {
    must(engine.podman("kill", container("control")));
    await expectOrder("pr-7", "pr-7");
    must(engine.podman("restart", "--time", "20", container("checkout")));
    await until("the sidecar is back", async () => (await order("pr-7")).checkout === "pr-7");
    await expectOrder("", "baseline");
  });
  await checks.check("the control plane comes back with all that it knew", async () => {
    must(engine.podman("start", container("control")));
    await until("it is ready", () => sidelane("ready", "--admin", "127.0.0.1:15020").status === 0);
    const listed = must(sidelane("sandbox", "list"));
    if (!listed.includes("pr-7")) throw new Error(`it lists\n${listed}`);
    must(sidelane("sandbox", "wait", "pr-7"));
    await expectOrder("pr-7", "pr-7");
  });

  await checks.check("without the sandbox its key means the baseline again", async () => {
    must(sidelane("sandbox", "delete", "pr-7", "--wait"));
    await expectOrder("pr-7", "baseline");
    must(compose(["sandbox"], "down", "checkout-pr-7", "pr-7"));
    const left = containers();
    if (left.some((name) => name.includes("pr-7"))) throw new Error(`there are still ${left.join(", ")}`);
    await expectOrder("", "baseline");
  });
  await checks.check("a developer's machine answers for a sandbox, and stops with Ctrl-C", connectMachine);

  if (checks.failed > 0) for (const name of containers()) printLogs(name);
  await checks.check("down leaves nothing behind", () => {
    must(compose(["sandbox", "connect"], "down", "--volumes"));
    const volumes = must(engine.podman("volume", "ls", "--quiet")).trim();
    const networks = must(engine.podman("network", "ls", "--format", "{{.Name}}")).trim();
    const left = [...containers(), volumes, networks.replace(/^podman$/m, "")].filter(Boolean);
    if (left.length > 0) throw new Error(`there are still ${left.join(", ")}`);
  });
}

/** What `sidelane connect` is for: the shop in containers, one service on the developer's own machine. */
async function connectMachine(): Promise<void> {
  // Not `up` alone: podman-compose then removes `setup`, which depends on what is replaced, and does not make it again.
  must(compose([], "down"));
  must(compose(["connect"], "up", "--detach"));
  const control = `http://127.0.0.1:${controlPort}`;
  await until("the control plane is back", async () => (await get(controlPort, "/ready")).status === 200);
  const app = createServer((_, response) => {
    const hops = [{ service: "checkout", instance: "my-machine" }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ item: "tea", cents: 1, giftWrap: false, hops }));
  });
  await once(app.listen(0, "127.0.0.1"), "listening");
  const { port } = app.address() as AddressInfo;
  const command = [
    "connect",
    "--control",
    control,
    "--sandbox",
    "mine",
    "--create",
    "--service",
    `checkout=localhost:${port}`,
  ];
  const machine = spawn(process.execPath, [join(root, "src", "main.ts"), ...command], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  machine.stdout.on("data", (text: Buffer) => (said += text.toString()));
  machine.stderr.on("data", (text: Buffer) => (said += text.toString()));
  const ended = once(machine, "exit");
  try {
    await until("the machine answers", async () => (await order("mine")).checkout === "my-machine");
    await expectOrder("", "baseline");
    machine.kill("SIGINT");
    const [code] = (await ended) as [number | null];
    if (code !== 0) throw new Error(`connect ended with ${code}`);
    await until("the baseline answers", async () => (await order("mine")).checkout === "baseline");
  } catch (error) {
    throw new Error(`${String(error)}\n${said}`, { cause: error });
  } finally {
    machine.kill("SIGKILL");
    app.close();
  }
}

/** The library that `docker compose config` loads files with takes each combination that the README names. */
async function acceptedByDocker(): Promise<void> {
  const go = await findGo(21, "the check of the compose files");
  const program = join(cache, "compose-config");
  mkdirSync(cache, { recursive: true });
  must(run([go, "build", "-C", join(root, "scripts", "compose-config"), "-o", program, "."]));
  for (const overlays of [[], ["sandbox"], ["connect"], ["sandbox", "connect"]]) {
    must(run([program, ...files(overlays)]));
  }
}

/** Runs podman-compose on the shop, with these overlays. */
function compose(overlays: readonly string[], ...args: readonly string[]): Ended {
  const chosen = files(overlays).flatMap((file) => ["--file", file]);
  const command = ["python3", "-m", "podman_compose", "--podman-path", wrapper, ...chosen, ...args];
  return run(command, { env: composeEnv, withinMs: COMPOSE_MS });
}

function files(overlays: readonly string[]): string[] {
  return ["compose", ...overlays].map((name) => join(folder, `${name}.yaml`));
}

/** `docker compose exec control sidelane ...` */
function sidelane(...args: readonly string[]): Ended {
  return compose([], "exec", "-T", "control", "sidelane", ...args);
}

function container(service: string): string {
  return `${project}_${service}_1`;
}

/** Names of those that are there, ended ones included. */
function containers(): string[] {
  return must(engine.podman("ps", "--all", "--format", "{{.Names}}"))
    .split("\n")
    .filter(Boolean);
}

/** Waits for a container that ends by itself, and wants it to have ended well. */
function expectEnded(service: string): void {
  const code = must(run([...engine.command, "wait", container(service)], { env: engine.env, withinMs: COMPOSE_MS }));
  if (code.trim() !== "0") {
    throw new Error(`${service} ended with ${code.trim()}:\n${engine.podman("logs", container(service)).text}`);
  }
}

interface Hop {
  readonly service: string;
  readonly instance: string;
}

/** Which instance of each service answered an order with this key. */
async function order(key: string): Promise<Readonly<Record<string, string>>> {
  const headers = key === "" ? {} : { baggage: `sidelane=${key}` };
  const { status, text } = await get(shopPort, "/order?item=tea", headers);
  if (status !== 200) return { failed: `${status} ${text}` };
  const { hops } = JSON.parse(text) as { readonly hops: readonly Hop[] };
  return Object.fromEntries(hops.map(({ service, instance }) => [service, instance]));
}

async function expectOrder(key: string, checkout: string): Promise<void> {
  const route = await order(key);
  const expected = { front: "baseline", checkout, pricing: "baseline", recommend: "baseline" };
  if (JSON.stringify(route) !== JSON.stringify(expected)) {
    throw new Error(`an order with the key '${key}' went ${JSON.stringify(route)}`);
  }
}

/** Every process of every container: no root, no capabilities, a root file system that cannot be written. */
function expectHarmless(): void {
  for (const name of must(engine.podman("ps", "--format", "{{.Names}}"))
    .split("\n")
    .filter(Boolean)) {
    const about = must(engine.podman("top", name, "user", "capeff", "args"))
      .split("\n")
      .slice(1)
      .filter(Boolean);
    for (const line of about) {
      if (!/^65532\s+none\s/.test(line)) throw new Error(`in ${name} runs ${line}`);
    }
    const isReadOnly = must(engine.podman("inspect", "--format", "{{.HostConfig.ReadonlyRootfs}}", name)).trim();
    if (isReadOnly !== "true") throw new Error(`${name} can write its root file system`);
  }
}

/** Sidecars and control plane say nothing above `info`, apps nothing but that they listen. */
function expectCleanLogs(): void {
  const findings = containers().flatMap((name) =>
    engine
      .podman("logs", name)
      .text.split("\n")
      .filter((line) => /"level":"(?:warn|error|fatal)"|Error|Warning/.test(line))
      .filter((line) => !expectedWarnings.some((expected) => line.includes(expected)))
      .map((line) => `${name}: ${line}`),
  );
  if (findings.length > 0) throw new Error(findings.join("\n"));
}

function printLogs(name: string): void {
  console.log(indent(`${name}:\n${engine.podman("logs", "--tail", "30", name).text}`));
}

/** Its folder, for PYTHONPATH. Made once for each version of Python, since a parser in it is compiled. */
function installPodmanCompose(): string {
  const python = must(run(["python3", "--version"]))
    .trim()
    .replace(" ", "-");
  const installed = join(cache, `podman-compose-${PODMAN_COMPOSE}-${python}`);
  if (existsSync(installed)) return installed;
  mkdirSync(cache, { recursive: true });
  rmSync(`${installed}.part`, { recursive: true, force: true });
  const wanted = ["--target", `${installed}.part`, `podman-compose==${PODMAN_COMPOSE}`];
  must(run(["python3", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ...wanted]));
  renameSync(`${installed}.part`, installed);
  return installed;
}

/**
 * The podman that podman-compose calls. Podman has its health checks run by systemd, which is not everywhere, and learnt only with
 * 4.6 to wait for their outcome and to ask more often at the start; here they are run by hand, as the files say. And what compose
 * means for `up` alone, podman (`--requires`) holds against every later start: no sidecar without the control plane.
 */
function writeWrapper(): string {
  const file = join(engine.folder, "podman");
  const called = engine.command.map((word) => `'${word}'`).join(" ");
  writeFileSync(
    file,
    `#!/bin/sh
case "$1 $2" in
  "--version "*) echo "podman version 4.6.0"; exit ;;
  "wait --condition=healthy")
    shift 2
    for name; do
      until ${called} healthcheck run "$name" >/dev/null 2>&1; do
        ${called} container exists "$name" || exit 1
        sleep 0.2
      done
    done
    exit ;;
esac
drop=no
for word; do
  shift
  if [ "$drop" = yes ]; then drop=no
  elif [ "$word" = --health-startup-interval ]; then drop=yes
  elif [ "\${word#--requires=}" != "$word" ]; then :
  else set -- "$@" "$word"
  fi
done
exec ${called} "$@"
`,
  );
  chmodSync(file, 0o755);
  return file;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}
