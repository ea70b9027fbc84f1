import { expect, test } from "vitest";
import type { ConnectEvent } from "./events.ts";
import { jsonReport, textReport } from "./report.ts";

const events: readonly ConnectEvent[] = [
  { event: "connecting", control: "http://control:15020" },
  {
    event: "connected",
    control: "http://control:15020",
    replica: "r1",
    as: "ada",
    sandbox: "pr-7",
    key: "pr-7",
    temporary: false,
    again: false,
    services: [
      { service: "checkout", local: "localhost:3000", endpoint: "control:16000", otherwise: "sandbox", problem: "" },
      {
        service: "ledger:grpc",
        local: "localhost:9090",
        endpoint: "control:16001",
        otherwise: "baseline",
        problem: "ECONNREFUSED",
      },
    ],
  },
  { event: "waiting", message: "2 of 3 sidecars have it\u001b[2J" },
  { event: "app", service: "ledger:grpc", local: "localhost:9090", reachable: true, problem: "" },
  { event: "ready", key: "pr-7", message: "" },
  { event: "connections", services: [{ service: "checkout", open: 1, total: 7, failed: 2 }] },
  { event: "disconnected", why: "http://control:15020: connection reset", retryInMs: 260, graceLeftMs: 29_900 },
  { event: "connecting", control: "http://control:15020" },
  { event: "disconnected", why: "http://control:15020: connection refused", retryInMs: 4100, graceLeftMs: 0 },
  { event: "leaving", running: 2 },
  { event: "left", services: [{ service: "checkout", answeredBy: "nobody" }], problem: "" },
];

function written(report: typeof textReport, isTerminal: boolean): string {
  let text = "";
  const tell = report({ write: (piece) => void (text += piece), isTerminal });
  for (const event of events) tell(event);
  return text;
}

test("lines for people", () => {
  expect(written(textReport, false)).toMatchInlineSnapshot(`
    "connecting to http://control:15020
    connected to http://control:15020 as ada: sandbox pr-7, key pr-7
      checkout    -> localhost:3000, for sidecars control:16000; without you: the sandbox's own endpoints
      ledger:grpc -> localhost:9090, for sidecars control:16001; without you: the baseline
    localhost:9090 takes no connections (nothing listens there): start your ledger:grpc there; until then sidecars cannot connect
    waiting: 2 of 3 sidecars have it\\u{001b}[2J
    localhost:9090 takes connections: ledger:grpc is answered here
    requests with key pr-7 reach this machine
    not connected: http://control:15020: connection reset; reconnecting in 0.3 s; the sandbox waits for us 30 s
    not connected: http://control:15020: connection refused; reconnecting in 4 s
    leaving: waiting for 2 running connections, at most 5 s (Ctrl-C again: at once)
    checkout: nobody answers until you are back (whenDisconnected: unavailable)
    "
  `);
});

test("on a terminal the counts stay below", () => {
  const text = written(textReport, true);
  expect(text).toContain("\r\u001b[Kcheckout: 1 connection open, 7 in all, 2 refused here");
  expect(text.endsWith("\n")).toBe(true);
});

test("objects for scripts", () => {
  const lines = written(jsonReport, false).trimEnd().split("\n");
  expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual(events);
});
