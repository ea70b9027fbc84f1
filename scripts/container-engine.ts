// What the tests with containers share: an engine of its own in a temporary folder, so that no image or setting of this machine
// is used or touched, and images that need nothing but package registries.
import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";

const root = join(import.meta.dirname, "..");
const baseTag = "localhost/base:test";

/** What a program did. */
export interface Ended {
  readonly command: string;
  readonly status: number | null;
  readonly stdout: string;
  /** stdout and stderr. */
  readonly text: string;
}

/** What a program may find different from this process. */
export interface RunOptions {
  readonly env?: NodeJS.ProcessEnv;
  /** It is killed then. Default: never. */
  readonly withinMs?: number;
}

/** Runs a program to its end. */
export function run(command: readonly string[], { env = process.env, withinMs }: RunOptions = {}): Ended {
  const [program = "", ...args] = command;
  const child = spawnSync(program, args, {
    encoding: "utf8",
    env,
    maxBuffer: 64 * 1024 * 1024,
    ...(withinMs === undefined ? {} : { timeout: withinMs, killSignal: "SIGKILL" }),
  });
  const text = child.stdout + child.stderr + (child.error?.message ?? "");
  return { command: command.join(" "), status: child.status, stdout: child.stdout, text };
}

/** The standard output of what ended well; throws with the end of its output if it did not. */
export function must(ended: Ended): string {
  if (ended.status === 0) return ended.stdout;
  const last = ended.text.trimEnd().split("\n").slice(-40).join("\n");
  throw new Error(`${ended.command}\nended with ${ended.status}:\n${last}`);
}

/** A tool that a test needs, and the Debian package that has it; both by the same name if there is only one. */
export type Tool = string | readonly [tool: string, debianPackage: string];

/** Ends the process with sentences that say what is missing, if anything is: never a silent skip. */
export function requireTools(test: string, tools: readonly Tool[]): void {
  const problems: string[] = [];
  if (process.platform !== "linux") problems.push("this test needs Linux");
  else if (process.getuid?.() !== 0) problems.push("this test needs root");
  const missing = tools
    .map((tool) => (typeof tool === "string" ? ([tool, tool] as const) : tool))
    .filter(([tool]) => spawnSync("sh", ["-c", `command -v ${tool}`], { env: toolEnv() }).status !== 0);
  if (missing.length > 0) {
    problems.push(`missing: ${missing.map(([tool]) => tool).join(", ")}`);
    problems.push(
      `on Debian: apt-get install --no-install-recommends ${missing.map(([, debian]) => debian).join(" ")}`,
    );
  }
  if (problems.length === 0) return;
  for (const problem of problems) console.error(`${test}: ${problem}`);
  process.exit(1);
}

/** Podman in a folder of its own. Everything in it is gone after `reset`. */
export class ContainerEngine {
  /** A temporary folder; tests may put files of their own into it. */
  readonly folder: string;
  /** How podman is called; a wrapper for tools that call it themselves says the same. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;

  /** `networks`: containers get addresses and find each other by name, for which podman needs netavark and aardvark-dns. */
  constructor(test: string, { networks = false } = {}) {
    this.folder = mkdtempSync(join(tmpdir(), `sidelane-${test}-`));
    this.command = ["podman", "--root", join(this.folder, "storage"), "--runroot", join(this.folder, "run")];
    this.env = { ...toolEnv(), CONTAINERS_CONF: join(this.folder, "containers.conf") };
    // Podman asks for more open files and processes than some machines allow; runc is the runtime Debian always has.
    writeFileSync(
      join(this.folder, "containers.conf"),
      `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "none"
${networks ? networkSettings(this.folder) : ""}`,
    );
  }

  podman(...args: readonly string[]): Ended {
    return run([...this.command, ...args], { env: this.env });
  }

  /** A stand-in for node:24-slim: minimal Debian, the pinned Node, and the npm that runs this script. Returns its name. */
  makeBase(): string {
    const archive = join(root, "node_modules", ".cache", "sidelane", `base-${process.version}-${process.arch}.tar`);
    if (!existsSync(archive)) {
      const tree = join(this.folder, "base");
      const { uri, suite } = debian();
      console.log(`making the base image once (Debian ${suite}, Node ${process.version})`);
      must(run(["debootstrap", "--variant=minbase", "--include=libstdc++6", suite, tree, uri], { env: toolEnv() }));
      for (const waste of [
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/locale",
        "usr/share/man",
      ]) {
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
    must(this.podman("import", "--change", "ENV PATH=/usr/local/bin:/usr/bin:/bin", archive, baseTag));
    return baseTag;
  }

  /** Builds a target of the Dockerfile, its last one unless named, and prints how large it is. */
  buildImage(tag: string, base: string, target?: string): void {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    const npmCa = run(["npm", "config", "get", "cafile"]).stdout.trim();
    const bundles = [process.env["NODE_EXTRA_CA_CERTS"], npmCa, "/etc/ssl/certs/ca-certificates.crt"];
    const bundle = bundles.find((file) => file !== undefined && existsSync(file));
    const secrets = [`--secret=id=npmrc,src=${this.#writeNpmrc()}`];
    if (bundle !== undefined) secrets.push(`--secret=id=ca,src=${bundle}`);
    const args = [`--build-arg=NODE_IMAGE=${base}`, `--build-arg=VERSION=${version}`, "--layers", "--network=host"];
    if (target !== undefined) args.push(`--target=${target}`);
    must(this.podman("build", "--tag", tag, ...args, ...secrets, root));
    const size = Number(must(this.podman("image", "inspect", "--format", "{{.Size}}", tag)));
    const own = Number(must(this.podman("image", "inspect", "--format", "{{.Size}}", base)));
    console.log(`${tag}: ${megabytes(size)}, of which the base is ${megabytes(own)}`);
  }

  /** Ends every container of this engine and removes all that it kept, its folder included. */
  reset(): void {
    this.podman("system", "reset", "--force");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The registry settings of whoever runs this, without what only means something on this machine's own disk. */
  #writeNpmrc(): string {
    const file = join(this.folder, "npmrc");
    const sources = ["globalconfig", "userconfig"].map((key) => run(["npm", "config", "get", key]).stdout.trim());
    const lines = sources
      .filter((source) => existsSync(source))
      .flatMap((source) => readFileSync(source, "utf8").split("\n"))
      .filter((line) => !/^\s*(cafile|cache|prefix|nodedir|globalconfig|userconfig)\s*=/.test(line));
    writeFileSync(file, `${lines.join("\n")}\n`, { mode: 0o600 });
    return file;
  }
}

function networkSettings(folder: string): string {
  return `[network]
network_backend = "netavark"
network_config_dir = ${JSON.stringify(join(folder, "networks"))}
`;
}

/** This process's environment; root's tools and podman's helpers are often not in the path. */
function toolEnv(): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin:/usr/lib/podman` };
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
  if (!script.endsWith("npm-cli.js")) throw new Error("no npm found: run this by 'npm run'");
  return dirname(dirname(realpathSync(script)));
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(0)} MB`;
}
