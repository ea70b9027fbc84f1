// `npm run test:image`: builds the image and uses it the way an orchestrator would: read-only, no capabilities, a user
// id that nobody owns, SIGTERM at the end. Needs Linux, root and podman; whatever is missing is an error that says how
// to get it, never a silent skip.
//
// By default the base image is made here (a minimal Debian plus the pinned Node of scripts/node), so that nothing but
// package registries is needed. `npm run test:image -- --base node:24-slim` pulls the official one instead.
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request } from "node:http";
import type { IncomingMessage, Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..");
const work = mkdtempSync(join(tmpdir(), "sidelane-image-"));
const engineEnv = { ...process.env, CONTAINERS_CONF: join(work, "containers.conf") };
const podmanBase = ["podman", "--root", join(work, "storage"), "--runroot", join(work, "run")] as const;
const image = "localhost/sidelane:test";
// Not the image's own 65532: whoever runs it may choose another.
const userId = 10_001;
// What an orchestrator's strictest policy asks for.
const hardened = ["--read-only", "--read-only-tmpfs=false", "--cap-drop=all", "--security-opt=no-new-privileges"];
const running = ["--network=host", `--user=${userId}:${userId}`, `--volume=${join(work, "etc")}:/etc/sidelane:ro`];

const started = performance.now();
let passed = 0;
let failed = 0;

const { values } = parseArgs({ options: { base: { type: "string" } } });
try {
  requireTools();
  prepareEngine();
  const base = values.base ?? makeBase();
  await check("the image builds", () => buildImage(base));
  if (failed === 0) await useImage();
} finally {
  podman("system", "reset", "--force");
  rmSync(work, { recursive: true, force: true });
}
const seconds = ((performance.now() - started) / 1000).toFixed(0);
console.log(`image: ${passed} of ${passed + failed} checks passed in ${seconds} s`);
process.exitCode = failed === 0 ? 0 : 1;

async function useImage(): Promise<void> {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const backends = await Promise.all([backend("baseline"), backend("sandbox")]);
  const [baseline, sandbox] = backends.map((server) => (server.address() as AddressInfo).port);
  const [inbound, admin] = await Promise.all([freePort(), freePort()]);
  const sandboxes = `sandboxes:\n  pr-7:\n    services:\n      checkout: ["127.0.0.1:${sandbox}"]\n`;
  const services = `services:\n  checkout:\n    baseline: ["127.0.0.1:${baseline}"]\n`;
  mkdirSync(join(work, "etc"));
  writeFileSync(join(work, "etc", "routes.yaml"), services);
  writeFileSync(
    join(work, "etc", "sidelane.yaml"),
    `service: checkout
listeners:
  - { name: inbound, direction: inbound, address: "127.0.0.1:${inbound}", target: "127.0.0.1:${baseline}" }
table: { file: /etc/sidelane/routes.yaml }
admin: { address: "127.0.0.1:${admin}" }
`,
  );

  await check("--version says the version of the package", () => {
    const said = must(podman("run", "--rm", ...hardened, ...running, image, "--version")).trim();
    if (!said.includes(version)) throw new Error(`it said ${said}, the package is ${version}`);
  });
  await check("check accepts a config and a table", () => {
    must(podman("run", "--rm", ...hardened, ...running, image, "check", "/etc/sidelane/sidelane.yaml"));
  });
  await check("check refuses a bad table with exit code 1", () => {
    writeFileSync(join(work, "etc", "bad.yaml"), "services: 7\n");
    const { status, text } = podman("run", "--rm", ...hardened, ...running, image, "check", "/etc/sidelane/bad.yaml");
    if (status !== 1 || !text.includes("bad.yaml:1:")) throw new Error(`exit code ${status}: ${text}`);
  });

  const proxy = ["proxy", "--config", "/etc/sidelane/sidelane.yaml"];
  const name = "sidelane-image-test";
  await check("proxy starts read-only, without capabilities, as a user nobody owns", async () => {
    must(podman("run", "--detach", "--name", name, ...hardened, ...running, image, ...proxy));
    await until("GET /ready is 200", async () => (await get(admin, "/ready", { host: "localhost" })).status === 200);
    const pid = must(podman("inspect", "--format", "{{.State.Pid}}", name)).trim();
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const uid = /^Uid:\s+(\d+)/m.exec(status)?.[1];
    const capabilities = /^CapEff:\s+(\w+)/m.exec(status)?.[1];
    if (uid !== String(userId)) throw new Error(`the process runs as ${uid}`);
    if (capabilities === undefined || !/^0+$/.test(capabilities)) throw new Error(`it may ${capabilities}`);
  });
  await check("a request without a key is answered by the baseline", async () => {
    expectAnswer(await get(inbound, "/"), "baseline");
  });
  await check("a table edited on the host is taken over, and its sandbox answers", async () => {
    writeFileSync(join(work, "etc", "routes.yaml"), services + sandboxes);
    await until(
      "the sandbox answers",
      async () => (await get(inbound, "/", { baggage: "sidelane=pr-7" })).text === "sandbox",
    );
    expectAnswer(await get(inbound, "/"), "baseline");
  });
  await check("SIGTERM ends it with exit code 0", () => {
    must(podman("stop", "--time", "20", name));
    const code = must(podman("inspect", "--format", "{{.State.ExitCode}}", name)).trim();
    if (code !== "0") throw new Error(`exit code ${code}`);
  });
  if (failed > 0) console.log(indent(podman("logs", name).text));
  podman("rm", "--force", name);
  for (const server of backends) server.close();
}

/** Runs one named check; a failed one is printed and the next one runs. */
async function check(name: string, body: () => void | Promise<void>): Promise<void> {
  const began = performance.now();
  try {
    await body();
    passed += 1;
    console.log(`ok      ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${indent(error instanceof Error ? error.message : String(error))}`);
  }
}

function requireTools(): void {
  const problems: string[] = [];
  if (process.platform !== "linux") problems.push("this test needs Linux");
  else if (process.getuid?.() !== 0) problems.push("this test needs root (debootstrap makes the base image)");
  const needed = values.base === undefined ? ["podman", "runc", "debootstrap"] : ["podman", "runc"];
  const missing = needed.filter((tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
  if (missing.length > 0) {
    problems.push(`missing: ${missing.join(", ")}`);
    problems.push(`on Debian: apt-get install --no-install-recommends ${missing.join(" ")}`);
  }
  if (problems.length === 0) return;
  for (const problem of problems) console.error(`image: ${problem}`);
  process.exit(1);
}

/** An engine of its own in a temporary folder: no image or setting of this machine is used or touched. */
function prepareEngine(): void {
  // Podman asks for more open files and processes than some machines allow; runc is the runtime Debian always has.
  writeFileSync(
    join(work, "containers.conf"),
    `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
`,
  );
}

/** A stand-in for node:24-slim: minimal Debian, the pinned Node, and the npm that runs this script. */
function makeBase(): string {
  const archive = join(root, "node_modules", ".cache", "sidelane", `base-${process.version}-${process.arch}.tar`);
  if (!existsSync(archive)) {
    const tree = join(work, "base");
    const { uri, suite } = debian();
    console.log(`image: making the base image once (Debian ${suite}, Node ${process.version})`);
    must(run(["debootstrap", "--variant=minbase", "--include=libstdc++6", suite, tree, uri]));
    for (const waste of ["var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/locale", "usr/share/man"]) {
      rmSync(join(tree, waste), { recursive: true, force: true });
    }
    cpSync(realpathSync(process.execPath), join(tree, "usr/local/bin/node"));
    cpSync(npmFolder(), join(tree, "usr/local/lib/node_modules/npm"), { recursive: true });
    must(run(["ln", "-s", "../lib/node_modules/npm/bin/npm-cli.js", join(tree, "usr/local/bin/npm")]));
    mkdirSync(dirname(archive), { recursive: true });
    must(run(["tar", "--create", "--file", `${archive}.part`, "--directory", tree, "."]));
    must(run(["mv", `${archive}.part`, archive]));
    rmSync(tree, { recursive: true, force: true });
  }
  must(podman("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", archive, "localhost/base:test"));
  return "localhost/base:test";
}

/** Where this machine's own Debian comes from, as apt knows it. */
function debian(): { uri: string; suite: string } {
  const release = readFileSync("/etc/os-release", "utf8");
  const suite = /^VERSION_CODENAME=(\w+)/m.exec(release)?.[1] ?? "";
  const format = ["--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"];
  const targets = must(run(["apt-get", "indextargets", ...format])).split("\n");
  const uri = targets.find((line) => line.endsWith(` ${suite}`))?.split(" ")[0];
  if (uri === undefined) throw new Error("apt lists no Debian main archive; run 'apt-get update', or use --base");
  return { uri, suite };
}

function npmFolder(): string {
  const script = process.env["npm_execpath"] ?? "";
  if (!script.endsWith("npm-cli.js")) throw new Error("no npm found: run this as 'npm run test:image'");
  return dirname(dirname(realpathSync(script)));
}

function buildImage(base: string): void {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
  const npmCa = run(["npm", "config", "get", "cafile"]).stdout.trim();
  const bundles = [process.env["NODE_EXTRA_CA_CERTS"], npmCa, "/etc/ssl/certs/ca-certificates.crt"];
  const bundle = bundles.find((file) => file !== undefined && existsSync(file));
  const secrets = [`--secret=id=npmrc,src=${writeNpmrc()}`];
  if (bundle !== undefined) secrets.push(`--secret=id=ca,src=${bundle}`);
  const buildArgs = [`--build-arg=NODE_IMAGE=${base}`, `--build-arg=VERSION=${version}`];
  must(podman("build", "--tag", image, ...buildArgs, "--network=host", ...secrets, root));
  const size = Number(must(podman("image", "inspect", "--format", "{{.Size}}", image)));
  const own = Number(must(podman("image", "inspect", "--format", "{{.Size}}", base)));
  console.log(`image: ${megabytes(size)}, of which the base is ${megabytes(own)}`);
}

/** The registry settings of whoever runs this, without what only means something on this machine's own disk. */
function writeNpmrc(): string {
  const file = join(work, "npmrc");
  const sources = ["globalconfig", "userconfig"].map((key) => run(["npm", "config", "get", key]).stdout.trim());
  const lines = sources
    .filter((source) => existsSync(source))
    .flatMap((source) => readFileSync(source, "utf8").split("\n"))
    .filter((line) => !/^\s*(cafile|cache|prefix|nodedir|globalconfig|userconfig)\s*=/.test(line));
  writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
  return file;
}

interface Ended {
  readonly command: string;
  readonly status: number | null;
  readonly stdout: string;
  /** stdout and stderr. */
  readonly text: string;
}

function run(command: readonly string[]): Ended {
  const [program = "", ...args] = command;
  const child = spawnSync(program, args, { encoding: "utf8", env: engineEnv, maxBuffer: 64 * 1024 * 1024 });
  const text = child.stdout + child.stderr + (child.error?.message ?? "");
  return { command: command.join(" "), status: child.status, stdout: child.stdout, text };
}

function podman(...args: readonly string[]): Ended {
  return run([...podmanBase, ...args]);
}

function must(ended: Ended): string {
  if (ended.status === 0) return ended.stdout;
  const last = ended.text.trimEnd().split("\n").slice(-40).join("\n");
  throw new Error(`${ended.command}\nended with ${ended.status}:\n${last}`);
}

/** A service that answers its own name to everything. */
async function backend(name: string): Promise<Server> {
  const server = createServer((_request, response) => response.end(name));
  await once(server.listen(0, "127.0.0.1"), "listening");
  return server;
}

async function freePort(): Promise<number> {
  const server = await backend("");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

interface Answer {
  readonly status: number;
  readonly text: string;
}

/** One request on a connection of its own; status 0 when nobody answers. */
async function get(port: number, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  const sent = request({ host: "127.0.0.1", port, path, headers: { host: "checkout", ...headers }, agent: false });
  sent.end();
  try {
    const [response] = (await once(sent, "response")) as [IncomingMessage];
    let text = "";
    for await (const chunk of response.setEncoding("utf8")) text += chunk as string;
    return { status: response.statusCode ?? 0, text };
  } catch (error) {
    return { status: 0, text: String(error) };
  }
}

function expectAnswer(answer: Answer, expected: string): void {
  if (answer.status === 200 && answer.text === expected) return;
  throw new Error(`expected 200 "${expected}", got ${answer.status} "${answer.text}"`);
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`waited 30 s in vain until ${what}`);
    await delay(100);
  }
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}

function indent(text: string): string {
  return text.replaceAll(/^(?=.)/gm, "    ");
}
