// The group `tenancy`: what each feature costs, one sidecar against another with everything off, in alternating rounds.

import { Buffer } from "node:buffer";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { startHttp2Backends, startNginxBackends, type Backends } from "../backends.ts";
import { exchange } from "../load/exchange.ts";
import { runH2Load } from "../load/h2load.ts";
import { backendBody, backendHeader } from "../load/requests.ts";
import { runWrk } from "../load/wrk.ts";
import { measure, type Measurement, type Subject } from "../measure.ts";
import { freePorts, type RunningProcess, type Workspace } from "../processes.ts";
import { projectFile } from "../project.ts";
import type { Scenario } from "../suites/suite.ts";
import { tools, type Tool } from "../tools.ts";
import { ask } from "../verify-http2.ts";
import { expectSame, markOf } from "../verify.ts";
import { casesOf, type Case } from "./cases.ts";
import { headOf, headsOf, requestOf, tracesPerLoad, type RequestShape } from "./load.ts";
import { type SidecarName, writeSidecar } from "./sidecars.ts";

export const tenancyProtocols = ["http1", "http2"] as const;
export type TenancyProtocol = (typeof tenancyProtocols)[number];

export const tenancyTools: readonly Tool[] = [tools.wrk, tools.nginx, tools.h2load];

/** One measurement of one case. */
export interface TenancySample extends Measurement {
  readonly protocol: TenancyProtocol;
  readonly case: Case;
  readonly round: number;
}

export interface TenancyRun {
  readonly cores: { readonly proxy: number; readonly load: number };
  readonly rounds: number;
  readonly seconds: number;
  /** Before each measurement; 0 only to see that everything works. */
  readonly warmUpSeconds: number;
  /** What runs a sidecar; `--config FILE` is appended. */
  readonly command: readonly string[];
}

/** Enough for just-in-time compilers before the first round. */
const firstWarmUpSeconds = 2;
const http1Connections = 64;
const http2Connections = 8;
const http2Streams = 16;

interface Sidecar {
  readonly process: RunningProcess;
  readonly ports: { readonly inbound: number; readonly outbound: number };
}

/** Measures all cases in one protocol. @throws Error when a sidecar does not start or does something else than its case says. */
export async function runTenancy(
  workspace: Workspace,
  protocol: TenancyProtocol,
  run: TenancyRun,
): Promise<TenancySample[]> {
  const { cores, rounds, seconds, warmUpSeconds } = run;
  const backends =
    protocol === "http1"
      ? await startNginxBackends(workspace, cores.load)
      : await startHttp2Backends(workspace, cores.load, "small");
  const [collector = 0] = await freePorts(1);
  const collectorCommand = [process.execPath, projectFile("bench/load/collector.ts"), String(collector)];
  await workspace.start("collector", collectorCommand, cores.load, collector);
  const cases = casesOf(backends.ports);
  const sidecars = new Map<SidecarName, Sidecar>();
  for (const name of new Set(cases.map(({ sidecar }) => sidecar))) {
    sidecars.set(name, await startSidecar(workspace, run, backends, collector, name));
  }
  const subjects: { readonly one: Case; readonly subject: Subject; readonly inbound: number }[] = [];
  for (const one of cases) {
    // Each case names one that was started.
    const { process, ports } = sidecars.get(one.sidecar) as Sidecar;
    const port = ports[one.direction];
    if (one.cameIn !== undefined) await letIn(protocol, ports.inbound, one.cameIn);
    const answerBytes = await verify(protocol, one, port);
    const subject = { process, port, answerBytes };
    if (warmUpSeconds > 0) {
      await scenarioOf(protocol, one).run({ workspace, core: cores.load, port, seconds: firstWarmUpSeconds });
    }
    subjects.push({ one, subject, inbound: ports.inbound });
  }
  console.error(`tenancy, ${protocol}: ${sidecars.size} sidecars do as they should in ${cases.length} cases`);
  const samples: TenancySample[] = [];
  for (let round = 1; round <= rounds; round++) {
    console.error(`tenancy, ${protocol}: round ${round} of ${rounds}`);
    for (const { one, subject, inbound } of subjects) {
      if (one.cameIn !== undefined) await letIn(protocol, inbound, one.cameIn);
      const scenario = scenarioOf(protocol, one);
      const measured = await measure(workspace, cores, backends, subject, scenario, seconds, warmUpSeconds);
      samples.push({ protocol, case: one, round, ...measured });
    }
  }
  return samples;
}

async function startSidecar(
  workspace: Workspace,
  { cores, command }: TenancyRun,
  backends: Backends,
  collector: number,
  name: SidecarName,
): Promise<Sidecar> {
  const [inbound = 0, outbound = 0, admin = 0] = await freePorts(3);
  const directory = join(workspace.directory, name);
  mkdirSync(directory);
  const config = writeSidecar(name, { directory, inbound, outbound, admin, backends: backends.ports, collector });
  const process = await workspace.start(name, [...command, "--config", config], cores.proxy, inbound);
  return { process, ports: { inbound, outbound } };
}

function scenarioOf(protocol: TenancyProtocol, one: Case): Scenario {
  const common = {
    name: one.name,
    title: one.title,
    unit: "request",
    isQuick: true,
    isSteady: false,
    destination: one.goesTo,
  } as const;
  if (protocol === "http1") {
    const heads = headsOf(one.request);
    return {
      ...common,
      inFlight: http1Connections,
      answerBytes: undefined,
      run: async ({ workspace, core, port, seconds }) =>
        runWrk(workspace, core, { port, connections: http1Connections, seconds, heads }),
    };
  }
  const request = requestOf(one.request, 0);
  const shape = { connections: http2Connections, streams: http2Streams, isCounted: false, uploads: false, request };
  return {
    ...common,
    inFlight: http2Connections * http2Streams,
    answerBytes: Buffer.byteLength(backendBody(one.goesTo)),
    run: async ({ workspace, core, port, seconds }) => runH2Load(workspace, core, { port, seconds, ...shape }),
  };
}

/** Traces come in with their key, as they would before the app calls others. */
async function letIn(protocol: TenancyProtocol, port: number, shape: RequestShape): Promise<void> {
  for (let n = 0; n < (protocol === "http1" ? tracesPerLoad : 1); n++) {
    await expectDestination(protocol, "a request with a key that the app will lose", port, shape, n, "sandbox");
  }
}

/** @returns the bytes of one answer, as the load counts them. */
async function verify(protocol: TenancyProtocol, one: Case, port: number): Promise<number> {
  return expectDestination(protocol, `tenancy, ${one.title}`, port, one.request, 0, one.goesTo);
}

async function expectDestination(
  protocol: TenancyProtocol,
  what: string,
  port: number,
  shape: RequestShape,
  n: number,
  goesTo: Case["goesTo"],
): Promise<number> {
  const request = requestOf(shape, n);
  if (protocol === "http2") {
    const { headers, body } = await ask(what, port, request);
    expectSame(`${what}: status`, headers[":status"], 200);
    expectSame(`${what}: went to`, headers[backendHeader.toLowerCase()], markOf(goesTo));
    return body.length;
  }
  const answer = await exchange(port, headOf(request));
  expectSame(`${what}: status`, answer.status, 200);
  expectSame(`${what}: went to`, new RegExp(`^${backendHeader}: *(\\S+)`, "im").exec(answer.head)?.[1], markOf(goesTo));
  return answer.bytes;
}
