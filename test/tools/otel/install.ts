// The services as programs: fetched and built once, at pinned versions, kept beside other caches.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { findGo } from "../../support/toolchains.ts";

const run = promisify(execFile);
const sources = import.meta.dirname;
const cache = join(sources, "..", "..", "..", "node_modules", ".cache", "sidelane-tools");

/** The languages of the services; each is the name of one. */
export const languages = ["node", "python", "go", "java"] as const;
export type Language = (typeof languages)[number];

/** How to start one. */
export interface Program {
  readonly command: readonly [program: string, ...args: string[]];
  readonly env: Readonly<Record<string, string>>;
}

/** Starts sooner, at the price of a speed that nobody needs here. */
const JVM = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"];

/** Makes all of them ready; rejects with a sentence that says what is missing. A minute the first time. */
export async function installPrograms(): Promise<Readonly<Record<Language, Program>>> {
  const [python, go, java] = await Promise.all([installPython(), installGo(), installJava()]);
  const node: Program = {
    command: [process.execPath, fileURLToPath(import.meta.resolve("./node/service.ts"))],
    env: {},
  };
  return { node, python, go, java };
}

async function installPython(): Promise<Program> {
  const what = "installs and runs the service in Python: `apt-get install python3-pip`";
  const version = await output(
    "python3",
    ["-c", "import pip, sys; print(*sys.version_info[:2])"],
    `Python with pip ${what}`,
  );
  const [major, minor] = version.split(" ").map(Number);
  if (major !== 3 || minor === undefined || minor < 10)
    throw new Error(`Python is too old: ${version.trim()}. Version 3.10 or newer ${what}`);
  const requirements = join(sources, "python", "requirements.txt");
  // What is compiled in it holds for one version of Python.
  const folder = await once(`otel-python-3.${minor}`, [requirements], async (into) => {
    await output("python3", ["-m", "pip", "install", "--quiet", "--target", into, "--requirement", requirements]);
  });
  return { command: ["python3", join(sources, "python", "service.py")], env: { PYTHONPATH: folder } };
}

async function installGo(): Promise<Program> {
  const folder = join(sources, "go");
  const files = ["main.go", "go.mod", "go.sum"].map((name) => join(folder, name));
  const built = await once("otel-go", files, async (into) => {
    // Its go.mod asks for 1.26, which Go fetches by itself from 1.21 on, unless it is told not to.
    const go = await findGo(21, "the service in Go");
    await output(go, ["build", "-C", folder, "-o", join(into, "service"), "."]);
  });
  return { command: [join(built, "service")], env: {} };
}

async function installJava(): Promise<Program> {
  const pom = join(sources, "java", "pom.xml");
  const source = join(sources, "java", "Service.java");
  const folder = await once("otel-java", [pom, source], async (into) => {
    await output(
      "javac",
      ["-version"],
      "A JDK builds and runs the service in Java: `apt-get install default-jdk-headless`",
    );
    await output("mvn", ["--version"], "Maven fetches what the service in Java needs: `apt-get install maven`");
    const options = ["--quiet", "--batch-mode", "--file", pom, `-DbuildDirectory=${join(into, "target")}`];
    await output("mvn", [...options, "dependency:copy-dependencies", `-DoutputDirectory=${join(into, "lib")}`]);
    await rename(join(into, "lib", "opentelemetry-javaagent.jar"), join(into, "agent.jar"));
    await output("javac", ["-cp", join(into, "lib", "*"), "-d", join(into, "classes"), source]);
  });
  const agent = `-javaagent:${join(folder, "agent.jar")}`;
  const path = [join(folder, "lib", "*"), join(folder, "classes")].join(":");
  const none = { OTEL_TRACES_EXPORTER: "none", OTEL_METRICS_EXPORTER: "none", OTEL_LOGS_EXPORTER: "none" };
  return { command: ["java", ...JVM, agent, "-cp", path, "Service"], env: none };
}

/** A folder that `make` has filled, once for this content of the files and of this one; half of one is never seen. */
async function once(name: string, files: readonly string[], make: (folder: string) => Promise<void>): Promise<string> {
  const hash = createHash("sha256");
  for (const file of [import.meta.filename, ...files]) hash.update(await readFile(file));
  const folder = join(cache, `${name}-${hash.digest("hex").slice(0, 12)}`);
  const there = await stat(folder).then(
    () => true,
    () => false,
  );
  if (there) return folder;
  await mkdir(cache, { recursive: true });
  const unfinished = await mkdtemp(`${folder}-`);
  try {
    await make(unfinished);
    await rename(unfinished, folder);
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return folder;
}

/** What a program prints; rejects with what it says when it fails, or with `missing`. */
async function output(program: string, args: readonly string[], missing?: string): Promise<string> {
  try {
    return (await run(program, args)).stdout;
  } catch (error) {
    const { stderr = "", stdout = "" } = error as { readonly stderr?: string; readonly stdout?: string };
    throw new Error(missing ?? `${program} ${args.join(" ")}: ${stderr}${stdout}`, { cause: error });
  }
}
