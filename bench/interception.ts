// What REDIRECT costs: requests from another network namespace to a sidecar's listener, straight and through the rules, side by
// side. `node bench/interception.ts`; needs root, iproute2, iptables, nginx, wrk and two cores. Takes 2 minutes.
//
//   core 1: wrk, in a namespace ──► core 0: sidecar, in a pod's namespace ──► core 1: nginx beside it
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { processUsage } from "./procfs.ts";
import { spread } from "./statistics.ts";
import { toolPath, tools } from "./tools.ts";

const ROUNDS = Number(process.argv[2] ?? 7);
const SECONDS = 4;
const CONNECTIONS = 64;
const main = join(import.meta.dirname, "..", "src", "main.ts");
const [pod, client] = [`slb${process.pid}p`, `slb${process.pid}c`];
const address = "10.213.7.2";
const folder = mkdtempSync(join(tmpdir(), "sidelane-interception-"));
const children: ChildProcess[] = [];

const run = (program: string, ...args: readonly string[]): string => execFileSync(program, args, { encoding: "utf8" });
const inside = (namespace: string, ...command: readonly string[]): readonly string[] => [
  "netns",
  "exec",
  namespace,
  ...command,
];

function start(...command: readonly string[]): ChildProcess {
  const child = spawn("ip", inside(pod, ...command), { stdio: ["ignore", "ignore", "inherit"] });
  children.push(child);
  return child;
}

function intercept(...flags: readonly string[]): void {
  run("ip", ...inside(pod, process.execPath, main, "intercept", ...flags));
}

/** What one run of the load came to. */
interface Round {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly p50Us: number;
}

function load(port: number, close: boolean, sidecar: number): Round {
  const script = join(folder, "load.lua");
  const connection = close ? 'wrk.headers["connection"] = "close"\n' : "";
  writeFileSync(
    script,
    `${connection}function done(s, l) io.write(string.format("RESULT %d %d %d %d\\n", s.requests, s.duration, l:percentile(50), s.errors.status + s.errors.connect + s.errors.timeout)) end\n`,
  );
  const before = processUsage(sidecar);
  const wrk = [
    toolPath(tools.wrk),
    "-t1",
    `-c${CONNECTIONS}`,
    `-d${SECONDS}s`,
    "-s",
    script,
    `http://${address}:${port}/`,
  ];
  const said = run("ip", ...inside(client, "taskset", "-c", "1", ...wrk));
  const after = processUsage(sidecar);
  const [requests = 0, durationUs = 1, p50Us = 0, errors = 0] = (/RESULT (.*)/u.exec(said)?.[1] ?? "")
    .split(" ")
    .map(Number);
  if (errors > 0 || requests === 0) throw new Error(`the load had errors:\n${said}`);
  const cpuUs = after.userUs + after.systemUs - before.userUs - before.systemUs;
  return { perSecond: (requests / durationUs) * 1e6, cpuUs: cpuUs / requests, p50Us };
}

async function measure(): Promise<void> {
  for (const namespace of [pod, client]) run("ip", "netns", "add", namespace);
  run("ip", "link", "add", "eth0", "netns", pod, "type", "veth", "peer", "name", "eth0", "netns", client);
  for (const [namespace, own] of [
    [pod, address],
    [client, "10.213.7.3"],
  ] as const) {
    run("ip", "-n", namespace, "addr", "add", `${own}/24`, "dev", "eth0");
    for (const device of ["lo", "eth0"]) run("ip", "-n", namespace, "link", "set", device, "up");
    // With a connection per request the ports of one client would be used up in two seconds, and what is measured is waiting for them.
    for (const setting of ["ip_local_port_range=1024 65535", "tcp_tw_reuse=1", "tcp_max_tw_buckets=1000"]) {
      run("ip", ...inside(namespace, "sysctl", "-qw", `net.ipv4.${setting}`));
    }
  }
  chmodSync(folder, 0o755);
  const nginx = join(folder, "nginx.conf");
  writeFileSync(
    nginx,
    `daemon off; pid ${folder}/pid; error_log stderr; worker_processes 1; events { worker_connections 4096; }
http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:8080; return 200 "${"x".repeat(300)}"; } }`,
  );
  start("taskset", "-c", "1", toolPath(tools.nginx), "-c", nginx);
  writeFileSync(join(folder, "routes.yaml"), "services: { shop: {} }\n");
  writeFileSync(
    join(folder, "proxy.yaml"),
    `service: shop
listeners: [{ direction: inbound, address: "*:15100", target: "127.0.0.1:8080" }]
table: { file: routes.yaml }
`,
  );
  const user = ["setpriv", "--reuid=15065", "--regid=15065", "--clear-groups"];
  const node = ["taskset", "-c", "0", ...user, process.execPath, main, "proxy", "--config", join(folder, "proxy.yaml")];
  const sidecar = start(...node).pid ?? 0;
  await pause(3000); // both are up long before
  for (const close of [false, true]) {
    const rounds: { readonly direct: Round; readonly redirected: Round }[] = [];
    for (let i = 0; i <= ROUNDS; i++) {
      intercept("--remove");
      const direct = load(15_100, close, sidecar);
      intercept("--inbound", "8080:15100");
      const redirected = load(8080, close, sidecar);
      if (i > 0) rounds.push({ direct, redirected }); // the first warms up
    }
    const middle = (of: (round: Round) => number): string => {
      const text = (values: readonly number[], places: number): string => {
        const { median, min, max } = spread(values);
        return `${median.toFixed(places)} (${min.toFixed(places)} to ${max.toFixed(places)})`;
      };
      const [direct, redirected] = [rounds.map((one) => of(one.direct)), rounds.map((one) => of(one.redirected))];
      const ratios = rounds.map((one) => of(one.redirected) / of(one.direct));
      return `${text(direct, 1)} direct, ${text(redirected, 1)} redirected, ratio ${text(ratios, 3)}`;
    };
    console.log(close ? "a connection per request:" : `${CONNECTIONS} connections kept:`);
    console.log(`  CPU of the sidecar, us/request: ${middle((round) => round.cpuUs)}`);
    console.log(`  requests/s: ${middle((round) => round.perSecond)}`);
    console.log(`  p50, us: ${middle((round) => round.p50Us)}`);
  }
}

try {
  await measure();
} finally {
  for (const child of children) child.kill("SIGKILL");
  for (const namespace of [pod, client]) {
    try {
      run("ip", "netns", "del", namespace);
    } catch {
      // It was not made.
    }
  }
  rmSync(folder, { recursive: true, force: true });
}
