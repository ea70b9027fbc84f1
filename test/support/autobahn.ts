// The Autobahn test suite, the conformance suite of WebSocket: how it is had, run and read.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { findPython2 } from "./toolchains.ts";

const run = promisify(execFile);

/** The release of 2025. It still needs Python 2.7, and so do all before it. */
const VERSION = "25.10.1";
const tools = join(import.meta.dirname, "..", "..", "node_modules", ".cache", "sidelane-tools");

/** Namespace packages in a folder of their own are found only by way of their .pth files. */
const PROGRAM = `
import site, sys
site.addsitedir(sys.argv[1])
sys.argv = ["wstest", "-m", "fuzzingclient", "-s", sys.argv[2]]
from autobahntestsuite.wstest import run
run()
`;

/** Where it is, and the Python that runs it. */
export interface Autobahn {
  readonly python: string;
  readonly folder: string;
}

/** How one case went with one server. */
export interface CaseResult {
  readonly behavior: string;
  readonly behaviorClose: string;
  readonly remoteCloseCode: number | null;
}

/** Results by server and case. */
export type Report = Readonly<Record<string, Readonly<Record<string, CaseResult>>>>;

/** Installs it unless it is there; rejects with a sentence that says what is missing. */
export async function installAutobahn(): Promise<Autobahn> {
  const python = await findPython2("the Autobahn test suite");
  const folder = join(tools, `autobahn-${VERSION}`);
  const there = await stat(folder).then(
    () => true,
    () => false,
  );
  if (there) return { python, folder };
  await mkdir(tools, { recursive: true });
  const unfinished = await mkdtemp(`${folder}-`);
  const options = ["-m", "pip", "install", "--quiet", "--target", unfinished, `autobahntestsuite==${VERSION}`];
  await run(python, options).catch((error: Error) => {
    throw new Error(`the Autobahn test suite cannot be installed (pip of Python 2.7): ${error.message}`);
  });
  await rename(unfinished, folder);
  return { python, folder };
}

/** Runs the cases against each of the servers, ports of this machine by name. */
export async function runAutobahn(
  { python, folder }: Autobahn,
  servers: Readonly<Record<string, number>>,
  cases: readonly string[],
): Promise<Report> {
  const work = await mkdtemp(join(tmpdir(), "sidelane-"));
  try {
    const spec = {
      outdir: join(work, "reports"),
      servers: Object.entries(servers).map(([agent, port]) => ({ agent, url: `ws://127.0.0.1:${port}` })),
      cases,
      "exclude-cases": [],
      "exclude-agent-cases": {},
    };
    await writeFile(join(work, "spec.json"), JSON.stringify(spec));
    await writeFile(join(work, "run.py"), PROGRAM);
    const options = [join(work, "run.py"), folder, join(work, "spec.json")];
    await run(python, options, { cwd: work, maxBuffer: 64 * 1024 * 1024 });
    return JSON.parse(await readFile(join(work, "reports", "index.json"), "utf8")) as Report;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
