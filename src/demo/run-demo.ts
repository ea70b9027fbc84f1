// The demo: a small shop of real processes, each beside a sidecar of its own, and a scenario that shows what Sidelane does.
//
// What callers may rely on: it uses free ports and one temporary directory; whatever ends it (Ctrl-C, a failing child,
// even kill -9), its processes end too and the directory goes; every line it prints is checked, and `once` tells the result
// by the exit code.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChildError } from "./child.ts";
import { runScenario } from "./scenario.ts";
import { serveScenes } from "./scene-server.ts";
import { Shop } from "./shop.ts";
import { tablePath } from "./shop-table.ts";
import { Stage, paint } from "./stage.ts";

/** How the demo runs. */
export interface DemoOptions {
  /** Verify and end, instead of staying up. */
  readonly once: boolean;
}

/** Runs the demo; resolves with the exit code: 0 all as it should be, 1 something differed or failed. */
export async function runDemo({ once }: DemoOptions): Promise<number> {
  const directory = mkdtempSync(join(tmpdir(), "sidelane-demo-"));
  const shop = new Shop(directory);
  const interrupt = Promise.withResolvers<"interrupted">();
  const onSignal = (): void => interrupt.resolve("interrupted");
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, onSignal);
  try {
    return await Promise.race([shop.failure, interrupt.promise.then(() => 0), play(shop, once)]);
  } catch (error) {
    report(error);
    return 1;
  } finally {
    await shop.stop();
    rmSync(directory, { recursive: true, force: true });
    for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.off(signal, onSignal);
  }
}

async function play(shop: Shop, once: boolean): Promise<number> {
  const stage = new Stage((line) => process.stdout.write(`${line}\n`));
  stage.line(paint("bold", "Sidelane demo: a small shop, one shared baseline, three sandboxes"));
  stage.line();
  const startMs = performance.now();
  await shop.start(await serveScenes(shop));
  const seconds = ((performance.now() - startMs) / 1000).toFixed(1);
  stage.note("front asks checkout by HTTP, checkout asks pricing by gRPC; front listens to recommend on a WebSocket.");
  stage.note("pr-7 is a changed checkout (gift wrap), pr-9 a changed pricing (10 % off), release-42 is both;");
  stage.note("pr-11 is a changed recommend (lemon, not honey).");
  stage.note(`7 app processes with OpenTelemetry's own baggage propagation, 7 sidecars; ready in ${seconds} s.`);
  stage.line();

  await runScenario(shop, stage);
  stage.line();
  const { problems } = stage;
  if (problems.length > 0) {
    const count = `${problems.length} ${problems.length === 1 ? "thing differs" : "things differ"}`;
    stage.line(paint(["red", "bold"], `  ${count}:`));
    for (const problem of problems) stage.line(`    ${problem}`);
    return 1;
  }
  if (once) {
    stage.line(paint(["green", "bold"], "  All as it should be."));
    return 0;
  }
  invite(shop, stage);
  return new Promise(() => {}); // until Ctrl-C or until a child fails
}

function invite(shop: Shop, stage: Stage): void {
  const front = `http://${shop.entrance}`;
  const line = (word: string, text: string): void => stage.line(`  ${paint("bold", word.padEnd(6))} ${text}`);
  line("Open", paint(["cyan", "underline"], `${front}/`));
  line("Try", `curl -s ${front}/order`);
  line("", `curl -s ${front}/order -H 'baggage: sidelane=pr-7'`);
  line("", `curl -si ${front}/order -H 'baggage: sidelane=release-42' -H 'x-sidelane-debug: 1'`);
  line("", `curl -sN ${front}/recommendations -H 'baggage: sidelane=pr-11'`);
  line("Ask", `curl -s 'http://${shop.admin("pricing")}/explain?service=pricing&key=pr-9'`);
  line("", `curl -s http://${shop.admin("pricing")}/table`);
  line("", `curl -s http://${shop.admin("pricing")}/metrics | grep grpc_requests`);
  line("", `curl -s http://${shop.find("till", "reported").admin}/lost-keys`);
  line("", `curl -s 'http://${shop.admin("checkout")}/journal?key=pr-7'`);
  line("Share", shop.shareLink("pr-7"));
  line("Edit", `${tablePath(shop.directory)}, and ask again`);
  stage.line();
  stage.note("Ctrl-C ends it and leaves nothing behind.");
}

function report(error: unknown): void {
  process.stderr.write(`sidelane demo: ${error instanceof Error ? error.message : String(error)}\n`);
  if (error instanceof ChildError && error.tail !== "") {
    process.stderr.write(`${error.tail.replace(/^/gm, "  | ")}\n`);
  }
}
