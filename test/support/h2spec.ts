// h2spec, the conformance suite of HTTP/2: how it is had, run and read.
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http2";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { silentLog } from "../../src/base/log.ts";
import { loadConfig } from "../../src/config/load-config.ts";
import { startProxy } from "../../src/proxy/start.ts";
import { TableCell } from "../../src/routing/table-cell.ts";
import { Telemetry } from "../../src/telemetry/metrics.ts";
import { makeAuthority } from "./certificates.ts";
import { findGo } from "./toolchains.ts";

const run = promisify(execFile);

/** Version 2.6.0. Go knows it by its commit, because its tag lacks the suffix that Go wants of a second major version. */
const VERSION = "v0.0.0-20200804131034-70ac22940108";
const MODULE = `github.com/summerwind/h2spec/cmd/h2spec@${VERSION}`;
/** `go install` of a given version came with 1.16. */
const GO_MINOR = 16;
const tools = join(import.meta.dirname, "..", "..", "node_modules", ".cache", "sidelane-tools");

/** One case of the suite and how it went. */
export interface SpecCase {
  /** `http2/6.5.3` and the like: where in which part of the suite. */
  readonly section: string;
  readonly title: string;
  /** What was expected and what came; undefined when it passed. */
  readonly failure: string | undefined;
  readonly skipped: boolean;
}

/** Installs h2spec unless it is there, and resolves with its path; rejects with a sentence that says what is missing. */
export async function installH2spec(): Promise<string> {
  const program = join(tools, `h2spec-${VERSION}`);
  const there = await stat(program).then(
    () => true,
    () => false,
  );
  if (there) return program;
  const go = await findGo(GO_MINOR, "h2spec");
  await mkdir(tools, { recursive: true });
  await run(go, ["install", MODULE], { env: { ...process.env, GOBIN: tools } }).catch((error: Error) => {
    throw new Error(`h2spec cannot be built (\`go install ${MODULE}\`): ${error.message}`);
  });
  await rename(join(tools, "h2spec"), program);
  return program;
}

/** Runs all of `parts` against a port of this machine. */
export async function runH2spec(
  program: string,
  port: number,
  parts: readonly string[],
  tls: boolean,
): Promise<SpecCase[]> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  const report = join(folder, "report.xml");
  try {
    // It exits with 1 when a case failed: the report says which.
    const options = ["--host", "127.0.0.1", "--port", String(port), "--strict", "--junit-report", report];
    await run(program, [...options, ...(tls ? ["--tls", "--insecure"] : []), ...parts]).catch(() => {});
    return readReport(await readFile(report, "utf8"));
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** How the sidecar's listener is configured. */
export interface Way {
  readonly protocol: "auto" | "http2";
  readonly tls: boolean;
}

/** Calls `use` with the port of a sidecar before an app on node:http2, and ends both. For use outside of tests. */
export async function withSidecar<T>({ protocol, tls }: Way, use: (port: number) => Promise<T>): Promise<T> {
  const app = createServer();
  app.on("stream", (stream) => {
    stream.on("error", () => {});
    stream.resume();
    stream.respond({ ":status": 200 });
    stream.end("hello");
  });
  await new Promise<void>((resolve) => {
    app.listen(0, "127.0.0.1", resolve);
  });
  const target = `127.0.0.1:${(app.address() as AddressInfo).port}`;
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  const files = { certificate: join(folder, "tls.crt"), key: join(folder, "tls.key") };
  const pair = await (await makeAuthority()).sign("localhost", { addresses: ["127.0.0.1"] });
  await writeFile(files.certificate, pair.certificate);
  await writeFile(files.key, pair.key);
  const inbound = { name: "inbound", direction: "inbound", address: "127.0.0.1:0", target, protocol };
  const listener = tls ? { ...inbound, tls: files } : inbound;
  const document = { service: "checkout", listeners: [listener], table: { file: "routes.yaml" } };
  const loaded = loadConfig(JSON.stringify(document), "sidelane.yaml", {});
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  const telemetry = new Telemetry({ sandboxLabelsMax: 100, processMetrics: false });
  const proxy = await startProxy(loaded.config, {
    cell: new TableCell(),
    telemetry,
    accessLog: undefined,
    log: silentLog,
  });
  try {
    return await use(Number(proxy.addresses.get("inbound")?.split(":")[1]));
  } finally {
    await proxy.close();
    app.close();
    await rm(folder, { recursive: true });
  }
}

/** The cases of a JUnit report as h2spec writes it. */
function readReport(xml: string): SpecCase[] {
  const cases = xml.matchAll(/<testcase package="([^"]*)" classname="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/gu);
  return [...cases].map(([, section = "", title = "", inner = ""]) => {
    const failure = /<(?:failure|error)[^>]*>([\s\S]*?)<\/(?:failure|error)>/u.exec(inner)?.[1];
    return {
      section,
      title: unescaped(title),
      failure: failure === undefined ? undefined : unescaped(failure).trim(),
      skipped: inner.includes("<skipped"),
    };
  });
}

function unescaped(text: string): string {
  return text
    .replace(/&#x?([0-9A-Fa-f]+);/gu, (whole, digits: string) =>
      String.fromCodePoint(Number.parseInt(digits, whole.startsWith("&#x") ? 16 : 10)),
    )
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&amp;", "&");
}
