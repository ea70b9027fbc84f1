import { printable } from "../../base/printable.ts";
import type { Aftermath } from "../../control/connect/wire.ts";
import type { ConnectEvent, ConnectedTarget, TargetCounts } from "./events.ts";
import { problemText } from "./local-app.ts";

/** Where reports go. */
export interface ReportOutput {
  readonly write: (text: string) => void;
  /** Counts are one line that changes; elsewhere they are not written. */
  readonly isTerminal: boolean;
}

export type Report = (event: ConnectEvent) => void;

export function jsonReport({ write }: ReportOutput): Report {
  return (event) => write(`${JSON.stringify(event)}\n`);
}

/** Lines for people; below them, on a terminal, the counts. */
export function textReport({ write, isTerminal }: ReportOutput): Report {
  let counts = "";
  let last = "";
  return (event) => {
    if (event.event === "connections") {
      counts = countsText(event.services);
      if (isTerminal) write(`\r\u001b[K${counts}`);
      return;
    }
    const text = linesOf(event).map(printable).join("\n");
    // Attempts follow one another.
    if (text === "" || text === last || (event.event === "connecting" && last !== "")) return;
    last = text;
    const clear = isTerminal && counts !== "" ? "\r\u001b[K" : "";
    const below = clear === "" || event.event === "left" ? "" : counts;
    write(`${clear}${text}\n${below}`);
  };
}

function linesOf(event: ConnectEvent): readonly string[] {
  switch (event.event) {
    case "connecting":
      return [`connecting to ${event.control}`];
    case "connected":
      return connectedLines(event);
    case "app":
      return [
        event.reachable
          ? `${event.local} takes connections: ${event.service} is answered here`
          : unreachableLine(event.service, event.local, event.problem),
      ];
    case "waiting":
      return [`waiting: ${event.message}`];
    case "ready":
      return [`requests with key ${event.key} reach this machine`];
    case "connections":
      return [];
    case "disconnected": {
      const grace = event.graceLeftMs > 0 ? `; the sandbox waits for us ${seconds(event.graceLeftMs)} s` : "";
      return [`not connected: ${event.why}; reconnecting in ${seconds(event.retryInMs)} s${grace}`];
    }
    case "leaving":
      return [
        event.running === 0
          ? "leaving"
          : `leaving: waiting for ${event.running} running connection${event.running === 1 ? "" : "s"}, at most 5 s (Ctrl-C again: at once)`,
      ];
    case "left":
      return [
        ...(event.problem === "" ? [] : [`the control plane could not write it down yet, and will: ${event.problem}`]),
        ...event.services.map(({ service, answeredBy }) => `${service}: ${afterwards[answeredBy]}`),
      ];
  }
}

function connectedLines(event: Extract<ConnectEvent, { event: "connected" }>): readonly string[] {
  const { again, as, control, sandbox, temporary, key, services } = event;
  if (again) return [`connected again to ${control}`, ...services.flatMap(problemLine)];
  const made = temporary ? " (deleted when the last connection ends)" : "";
  const width = Math.max(...services.map(({ service }) => service.length));
  return [
    `connected to ${control} as ${as}: sandbox ${sandbox}${made}, key ${key}`,
    ...services.map(
      ({ service, local, endpoint, otherwise }) =>
        `  ${service.padEnd(width)} -> ${local}, for sidecars ${endpoint}; without you: ${otherwiseText[otherwise]}`,
    ),
    ...services.flatMap(problemLine),
  ];
}

function problemLine({ service, local, problem }: ConnectedTarget): readonly string[] {
  return problem === "" ? [] : [unreachableLine(service, local, problem)];
}

function unreachableLine(service: string, local: string, problem: string): string {
  return `${local} takes no connections (${problemText(problem)}): start your ${service} there; until then sidecars cannot connect`;
}

const otherwiseText: Readonly<Record<Aftermath, string>> = {
  sandbox: "the sandbox's own endpoints",
  baseline: "the baseline",
  nobody: "nobody",
  "sandbox-deleted": "the baseline, as the sandbox is deleted",
};

const afterwards: Readonly<Record<Aftermath, string>> = {
  sandbox: "the sandbox's own endpoints answer",
  baseline: "the baseline answers",
  nobody: "nobody answers until you are back (whenDisconnected: unavailable)",
  "sandbox-deleted": "the sandbox is deleted, its key is unknown",
};

function countsText(services: readonly TargetCounts[]): string {
  return services
    .map(({ service, open, total, failed }) => {
      const refused = failed === 0 ? "" : `, ${failed} refused here`;
      return `${service}: ${open} connection${open === 1 ? "" : "s"} open, ${total} in all${refused}`;
    })
    .join("; ");
}

function seconds(ms: number): string {
  return ms < 950 ? (ms / 1000).toFixed(1) : String(Math.round(ms / 1000));
}
