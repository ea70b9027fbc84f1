// Services in four languages, each as a baseline and as the copy of a sandbox, and a sidecar beside each of the eight:
//
//   client -> inbound -> node -> outbound -> inbound -> go -> outbound -> inbound -> java ...
//
// All services do the same. `GET /go/java` (and a call of /hop.Hop/Call with the message `go/java`) asks the service `go` for
// `/java` and answers what it was told, with itself in front: which service and copy it is, and the lines of `baggage` as they came. None of them
// touches a header: whatever arrives behind them, their SDK has carried. A service prints its ports, reads from standard
// input where its sidecar is, says `configured`, and ends when that input does.
import { type ChildProcess, fork, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline/promises";
import { setTimeout } from "node:timers/promises";
import { type Language, type Program, installPrograms, languages } from "./install.ts";

const main = join(import.meta.dirname, "..", "..", "..", "src", "main.ts");

/** One service of a chain, as it answered. */
export interface Hop {
  readonly service: string;
  /** `baseline` or the sandbox's name. */
  readonly copy: string;
  /** The lines as the app saw them; Python sees one, since WSGI combines them. */
  readonly baggage: readonly string[];
}

/** A routing key beyond ASCII, which selects `pr-<language>` as well. */
export function keyBeyondAscii(language: Language): string {
  return `käse/${language}/✓`;
}

/** Where the sidecar of a baseline takes requests. */
interface Entrance {
  readonly http: string;
  readonly grpc: string;
}

/** All of it, running. */
export interface Fleet {
  readonly entrances: Readonly<Record<Language, Entrance>>;
  close(): Promise<void>;
}

interface Instance {
  readonly language: Language;
  readonly copy: string;
  readonly entrance: Entrance;
  readonly admin: string;
}

/** Installs the programs and starts everything. */
export async function startFleet(): Promise<Fleet> {
  const programs = await installPrograms();
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  const table = join(folder, "routes.yaml");
  const children: ChildProcess[] = [];
  const close = async (): Promise<void> => {
    const running = children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null);
    const ended = running.map((child) => once(child, "exit"));
    for (const child of running) child.kill("SIGKILL");
    await Promise.all(ended);
    await rm(folder, { recursive: true });
  };
  try {
    await writeFile(table, JSON.stringify({ services: servicesTable([]) }));
    const copies = languages.flatMap((language) => [
      { language, copy: "baseline" },
      { language, copy: `pr-${language}` },
    ]);
    const instances = await Promise.all(
      copies.map(({ language, copy }) => startInstance(programs[language], language, copy, folder, children)),
    );
    await writeFile(`${table}.new`, JSON.stringify(fullTable(instances)));
    await rename(`${table}.new`, table);
    await Promise.all(instances.map(({ admin }) => hasTable(admin)));
    const entrances = Object.fromEntries(
      instances.filter(({ copy }) => copy === "baseline").map(({ language, entrance }) => [language, entrance]),
    );
    return { entrances: entrances as Record<Language, Entrance>, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function startInstance(
  { command: [program, ...args], env }: Program,
  language: Language,
  copy: string,
  folder: string,
  children: ChildProcess[],
): Promise<Instance> {
  const service = spawn(program, args, {
    env: { ...process.env, ...env, SERVICE: language, COPY: copy },
    stdio: ["pipe", "pipe", "pipe"],
  });
  children.push(service);
  let said = "";
  service.stderr.setEncoding("utf8").on("data", (text: string) => (said += text));
  const lines = createInterface(service.stdout)[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => {
    const { value } = (await lines.next()) as { readonly value?: string };
    // The JVM says on standard output why it cannot start.
    if (value === undefined || !/^(?:\{|configured$)/u.test(value))
      throw new Error(`the service in ${language} does not run: ${value ?? ""} ${said}`);
    return value;
  };
  const ports = JSON.parse(await nextLine()) as { readonly http: number; readonly grpc: number };

  const config = {
    service: language,
    ...(copy === "baseline" ? {} : { sandbox: copy }),
    listeners: [
      ...(["http", "grpc"] as const).map((port) => ({
        name: port,
        direction: "inbound",
        address: "127.0.0.1:0",
        target: `127.0.0.1:${ports[port]}`,
        port,
      })),
      { name: "outbound", direction: "outbound", address: "127.0.0.1:0" },
    ],
    table: { file: "routes.yaml" },
    admin: { address: "127.0.0.1:0" },
  };
  const file = join(folder, `${language}-${copy}.yaml`);
  await writeFile(file, JSON.stringify(config));
  const sidecar = fork(main, ["proxy", "--config", file], { execArgv: [], stdio: ["ignore", "ignore", "pipe", "ipc"] });
  children.push(sidecar);
  sidecar.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  const [message] = (await Promise.race([once(sidecar, "message"), once(sidecar, "exit")])) as [Listening | number];
  if (typeof message !== "object") throw new Error(`the sidecar of ${language} does not run: ${said}`);

  service.stdin.write(`http://${message.listeners["outbound"]}\n`);
  await nextLine();
  const { http = "", grpc = "" } = message.listeners;
  return { language, copy, entrance: { http, grpc }, admin: message.admin };
}

/** What `sidelane proxy` tells the process that started it. */
interface Listening {
  readonly listeners: Readonly<Record<string, string>>;
  readonly admin: string;
}

/** The services, with the baselines of these instances. */
function servicesTable(instances: readonly Instance[]): object {
  return Object.fromEntries(
    languages.map((language) => {
      const one = instances.find((instance) => instance.language === language && instance.copy === "baseline");
      const ports = { http: 80, grpc: 9090 };
      return [language, one === undefined ? { ports } : { ports, baseline: endpoints(one) }];
    }),
  );
}

function fullTable(instances: readonly Instance[]): object {
  const copies = instances.filter(({ copy }) => copy !== "baseline");
  return {
    services: servicesTable(instances),
    sandboxes: Object.fromEntries(
      copies.map((instance) => [instance.copy, { services: { [instance.language]: endpoints(instance) } }]),
    ),
    groups: Object.fromEntries(
      copies.map(({ language, copy }) => [
        `beyond-ascii-${language}`,
        { key: keyBeyondAscii(language), sandboxes: [copy] },
      ]),
    ),
  };
}

function endpoints({ entrance: { http, grpc } }: Instance): object {
  return { http: [http], grpc: [grpc] };
}

/** Resolves when a sidecar follows the table with all addresses. */
async function hasTable(admin: string): Promise<void> {
  for (;;) {
    const { version } = (await (await fetch(`http://${admin}/table`)).json()) as { readonly version: number };
    if (version > 1) return;
    await setTimeout(20);
  }
}
