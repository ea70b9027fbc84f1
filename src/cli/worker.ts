// Entry of a worker process: the data plane with listeners shared with its siblings. Signals are the supervisor's business;
// a supervisor that is gone, whatever ended it, drains its workers.

import type { LogFields } from "../base/log.ts";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import { mergeLostKeys } from "../telemetry/lost-keys.ts";
import { ProcessLog } from "../telemetry/process-log.ts";
import { prepareSidecar } from "./sidecar.ts";
import type { Sidecar } from "./sidecar.ts";
import { REPORT_MS } from "./worker-messages.ts";
import type { AskMessage, FromWorker, Question, Questions, ToWorker } from "./worker-messages.ts";

let sidecar: Sidecar | undefined;
let log: ProcessLog | undefined;
let ending = false;

process.on("SIGTERM", () => {});
process.on("SIGINT", () => {});
process.on("SIGHUP", () => {});
process.on("disconnect", () => void end("the supervisor is gone"));
process.on("uncaughtException", (error) => {
  const fields: LogFields = { error: error.stack ?? String(error) };
  (log ?? new ProcessLog()).error("uncaught exception, ending", fields);
  process.exit(1);
});
if (!process.connected) process.exit(0); // it went before this line ran
process.on("message", (message: ToWorker) => void receive(message));

async function receive(message: ToWorker): Promise<void> {
  switch (message.kind) {
    case "start":
      return start(message);
    case "ask":
      if (sidecar === undefined) return;
      return tell({ kind: "answer", id: message.id, answer: await answerTo(message, sidecar) });
    case "drain":
      return end("the supervisor drains");
  }
}

async function start({ config, worker, instanceId }: Extract<ToWorker, { kind: "start" }>): Promise<void> {
  log = new ProcessLog({ level: config.log.level, fields: { service: config.service, worker } });
  try {
    const started = await prepareSidecar(config, log, { shared: { reusePort: true, instanceId } });
    sidecar = started;
    const report = (): void =>
      tell({ kind: "report", table: started.source.status(), connections: started.connections() });
    // The source's status of a table is complete only after the cell's listeners have run.
    started.cell.onPublish(() => void setImmediate(report));
    setInterval(report, REPORT_MS).unref();
    const addresses = await started.open();
    report();
    tell({ kind: "listening", listeners: Object.fromEntries(addresses) });
  } catch (error) {
    if (ending) return; // told to end while it waited for a table
    tell({ kind: "refused", message: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  }
}

async function answerTo(message: AskMessage, { telemetry }: Sidecar): Promise<Questions[Question]["answer"]> {
  switch (message.question) {
    case "snapshot":
      return telemetry.snapshot();
    case "journal":
      return telemetry.journal?.report(message.about) ?? NO_JOURNAL;
    case "lostKeys":
      return telemetry.lostKeys?.describe() ?? mergeLostKeys([]);
  }
}

async function end(why: string): Promise<void> {
  if (ending) return;
  ending = true;
  log?.info("draining", { why });
  await sidecar?.drain();
  process.exit(0);
}

function tell(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}
