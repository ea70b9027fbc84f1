// What the kernel knows about a proxy: CPU, memory and context switches of a process and all its descendants (proc(5)).

import { execFileSync } from "node:child_process";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";

/** Counters since the start of the processes; take two and subtract. */
export interface ProcessUsage {
  /** CPU time in user space, microseconds. Resolution: one clock tick (10 ms) for the whole. */
  readonly userUs: number;
  /** CPU time in the kernel, microseconds. */
  readonly systemUs: number;
  /** Voluntary context switches of all threads: how often the process slept because it had nothing to do. */
  readonly voluntarySwitches: number;
}

/** Memory of the processes, bytes. Pages shared between processes count once for each. */
export interface ProcessMemory {
  readonly residentBytes: number;
  /** The highest since the last `resetPeakMemory`. */
  readonly residentPeakBytes: number;
}

let tickUs: number | undefined;

function microsecondsPerTick(): number {
  tickUs ??= 1_000_000 / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
  return tickUs;
}

/** The process and all its descendants that are alive now. */
function processTree(pid: number): number[] {
  const tree: number[] = [];
  const left = [pid];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    tree.push(next);
    for (const thread of threads(next)) {
      const children = readProc(`/proc/${next}/task/${thread}/children`).trim();
      if (children !== "") left.push(...children.split(" ").map(Number));
    }
  }
  return tree;
}

/** CPU and context switches of a process and its descendants. */
export function processUsage(pid: number): ProcessUsage {
  let userTicks = 0;
  let systemTicks = 0;
  let voluntarySwitches = 0;
  for (const member of processTree(pid)) {
    const fields = statFields(readProc(`/proc/${member}/stat`));
    userTicks += Number(fields[11] ?? 0);
    systemTicks += Number(fields[12] ?? 0);
    for (const thread of threads(member)) {
      voluntarySwitches += statusNumber(readProc(`/proc/${member}/task/${thread}/status`), "voluntary_ctxt_switches");
    }
  }
  return {
    userUs: userTicks * microsecondsPerTick(),
    systemUs: systemTicks * microsecondsPerTick(),
    voluntarySwitches,
  };
}

/** Memory of a process and its descendants. */
export function processMemory(pid: number): ProcessMemory {
  let residentKib = 0;
  let residentPeakKib = 0;
  for (const member of processTree(pid)) {
    const status = readProc(`/proc/${member}/status`);
    residentKib += statusNumber(status, "VmRSS");
    residentPeakKib += statusNumber(status, "VmHWM");
  }
  return { residentBytes: residentKib * 1024, residentPeakBytes: residentPeakKib * 1024 };
}

/** Starts a new peak of the resident memory (`/proc/PID/clear_refs`, value 5). */
export function resetPeakMemory(pid: number): void {
  for (const member of processTree(pid)) writeFileSync(`/proc/${member}/clear_refs`, "5");
}

/** Busy time of one core since boot, microseconds: everything but idle and waiting for disks, stolen time included. */
export function coreBusyUs(core: number): number {
  const line = readProc("/proc/stat")
    .split("\n")
    .find((candidate) => candidate.startsWith(`cpu${core} `));
  // user nice system idle iowait irq softirq steal; guest time is part of user already.
  const ticks = (line ?? "").split(/\s+/).slice(1, 9).map(Number);
  const idle = (ticks[3] ?? 0) + (ticks[4] ?? 0);
  return (ticks.reduce((sum, value) => sum + value, 0) - idle) * microsecondsPerTick();
}

/** The fields after the name; the name may have blanks and brackets in it. Index 0 is field 3 of proc(5), the state. */
function statFields(stat: string): string[] {
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

function statusNumber(status: string, name: string): number {
  const line = status.split("\n").find((candidate) => candidate.startsWith(`${name}:`));
  return Number.parseInt(line?.slice(name.length + 1) ?? "0", 10);
}

function threads(pid: number): string[] {
  try {
    return readdirSync(`/proc/${pid}/task`);
  } catch {
    return [];
  }
}

/** A process or thread may end between two reads: then there is nothing to count. */
function readProc(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
