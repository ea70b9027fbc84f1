// The demo is the first thing a newcomer sees, so it is tested as they run it: all its processes, nothing replaced.

import { execFileSync, spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

const main = join(import.meta.dirname, "..", "src", "main.ts");
/** On a machine that is busy with other tests; the demo itself needs a few seconds. */
const TEST_MS = 150_000;

let directory = "";
const started: ChildProcess[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "sidelane-test-"));
});
afterEach(() => {
  for (const child of started.splice(0)) child.kill("SIGKILL");
  rmSync(directory, { recursive: true, force: true });
});

interface Demo {
  readonly child: ChildProcess;
  readonly exit: Promise<number | null>;
  readonly text: () => string;
  readonly prints: (pattern: RegExp) => Promise<RegExpExecArray>;
}

function demo(...argv: string[]): Demo {
  const env = { ...process.env, TMPDIR: directory };
  const child = spawn(process.execPath, [main, "demo", ...argv], { env, stdio: ["ignore", "pipe", "pipe"] });
  started.push(child);
  let text = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (more: string) => {
      text += more;
      child.emit("text");
    });
  }
  const exit = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return {
    child,
    exit,
    text: () => text,
    async prints(pattern) {
      for (;;) {
        const found = pattern.exec(text);
        if (found !== null) return found;
        if (child.exitCode !== null) throw new Error(`the demo ended with ${child.exitCode}:\n${text}`);
        await Promise.race([once(child, "text"), exit]);
      }
    },
  };
}

/** What the page learns of the scenes. */
interface SceneList {
  readonly scenes: readonly { readonly name: string; readonly title: string }[];
  readonly edge: string;
}

/** Processes whose command line names this place: apps and sidecars of this demo. */
function processesOf(place: string): readonly { readonly pid: number; readonly commandLine: string }[] {
  return commandLines().filter(({ pid, commandLine }) => pid !== process.pid && commandLine.includes(place));
}

/** Of all processes: from /proc where there is one, since a small Linux may lack `ps`. */
function commandLines(): readonly { readonly pid: number; readonly commandLine: string }[] {
  if (!existsSync("/proc/self/cmdline")) {
    const lines = execFileSync("ps", ["-Awwo", "pid=,args="], { encoding: "utf8" }).trim().split("\n");
    return lines.map((line) => ({ pid: Number.parseInt(line, 10), commandLine: line }));
  }
  return readdirSync("/proc")
    .filter((name) => /^\d+$/u.test(name))
    .map((name) => ({ pid: Number(name), commandLine: commandLineOf(name) }));
}

function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return ""; // it ended meanwhile
  }
}

test(
  "--once: the whole scenario is as it should be, and nothing is left behind",
  async () => {
    const { exit, text } = demo("--once");
    expect(await exit, text()).toBe(0);
    expect(text()).toContain("All as it should be.");
    expect(text()).not.toContain("✗");
    // oxlint-disable-next-line no-control-regex -- that there is none is the point: the output is a pipe
    expect(text()).not.toMatch(/\u001b/u);
    expect(readdirSync(directory)).toEqual([]);
  },
  TEST_MS,
);

describe("while it stays up", () => {
  test(
    "the page and the lines to try work; Ctrl-C ends everything",
    async () => {
      const { child, exit, prints, text } = demo();
      const [, front] = await prints(/Open\s+(http:\/\/\S+)\//u);
      await prints(/Ctrl-C/u);
      const page = await fetch(`${front}/`);
      expect(page.headers.get("content-type")).toContain("text/html");
      expect(await page.text()).toContain("One shop, several versions of it");

      const order = await fetch(`${front}/order`, { headers: { baggage: "sidelane=pr-7" } });
      expect(await order.json()).toMatchObject({
        giftWrap: true,
        hops: [
          { service: "front", instance: "baseline" },
          { service: "checkout", instance: "pr-7" },
          { service: "pricing", instance: "baseline" },
          { service: "recommend", instance: "baseline" },
        ],
      });
      const stream = await fetch(`${front}/recommendations`);
      expect(await stream.text()).toContain("data: honey\n\n");
      const handshake = await fetch(`${front}/recommendations`, { headers: { baggage: "sidelane=pr-11" } });
      expect(await handshake.text()).toContain("data: lemon\n\n");
      const explain = /'(http:\S+\/explain\S+)'/u.exec(text())?.[1] ?? "";
      expect(await (await fetch(explain)).json()).toMatchObject({ reason: "sandbox", destination: "pr-9" });

      // What the page asks for: the list of scenes, and one after the other played.
      const { scenes, edge } = (await (await fetch(`${front}/scenes`)).json()) as SceneList;
      expect(scenes.length).toBe(5);
      for (const { name, title } of scenes) {
        const played = await fetch(`${front}/play?scene=${name}`, { method: "POST" });
        expect(await played.json(), title).toMatchObject({ problems: [] });
      }
      const [, link = ""] = /Share\s+(http:\S+)/u.exec(text()) ?? [];
      expect(link).toContain(`http://${edge}/?sidelane=`);
      const opened = await fetch(link);
      expect(opened.headers.get("set-cookie")).toMatch(/^sidelane=/u);
      const left = await fetch(`http://${edge}/?sidelane=`);
      expect(left.headers.get("set-cookie")).toContain("Max-Age=0");

      child.kill("SIGINT");
      expect(await exit).toBe(0);
      expect(readdirSync(directory)).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "kill -9 takes all its processes along",
    async () => {
      const { child, prints } = demo();
      await prints(/Ctrl-C/u);
      const place = join(directory, "sidelane-demo-");
      expect(processesOf(place).length).toBe(20);
      child.kill("SIGKILL");
      while (processesOf(place).length > 0) await sleep(20);
      expect(readdirSync(directory)).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "a process that fails is named, and the exit code is 1",
    async () => {
      const { exit, prints, text } = demo();
      await prints(/Ctrl-C/u);
      const victim = processesOf(join(directory, "sidelane-demo-")).find(({ commandLine }) =>
        commandLine.includes("pricing.pr-9.yaml"),
      );
      if (victim === undefined) throw new Error("the sidecar of pr-9 is not running");
      process.kill(victim.pid, "SIGKILL");
      expect(await exit).toBe(1);
      expect(text()).toContain("the sidecar of pricing (pr-9) ended with SIGKILL");
      expect(readdirSync(directory)).toEqual([]);
    },
    TEST_MS,
  );
});
