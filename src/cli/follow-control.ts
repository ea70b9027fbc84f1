// The table of a sidecar that has a control plane. Only loaded then.

import { randomBytes } from "node:crypto";
import { hostname } from "node:os";
import type { Log } from "../base/log.ts";
import type { ProxyConfig } from "../config/proxy-config.ts";
import { tableScope } from "../config/table-scope.ts";
import type { ControlTableConfig } from "../config/table-source.ts";
import { SandboxUses } from "../proxy/endpoints/sandbox-uses.ts";
import type { TableCell } from "../routing/table-cell.ts";
import { NO_QUESTIONS } from "../table/control/questions.ts";
import type { FeedQuestions } from "../table/control/questions.ts";
import { ControlSource } from "../table/control/source.ts";
import { NO_JOURNAL } from "../telemetry/journal-entry.ts";
import type { Telemetry } from "../telemetry/metrics.ts";
import { answerQuestions } from "./answer-questions.ts";
import { packageVersion } from "./package-version.ts";
import type { FollowOptions, FollowedTable } from "./sidecar.ts";

/** A cell that follows the control plane once the source is started. */
export function followControl(
  config: ProxyConfig,
  table: ControlTableConfig,
  cell: TableCell,
  log: Log,
  telemetry: Telemetry,
  { routes, keeps }: FollowOptions,
): FollowedTable {
  const uses = routes ? new SandboxUses() : undefined;
  let questions = NO_QUESTIONS;
  const late: FeedQuestions = {
    answer: (question, withinMs) => questions.answer(question, withinMs),
    activity: () => questions.activity(),
  };
  const { service, sandbox = "", listeners, limits } = config;
  const source = new ControlSource(
    {
      config: table,
      scope: tableScope(config),
      self: {
        instance: randomBytes(12).toString("hex"),
        service,
        sandbox,
        host: hostname(),
        version: packageVersion(),
        routes,
        probes: routes && listeners.some(({ direction }) => direction === "inbound"),
      },
      keeps,
      bytesMax: limits.tableBytesMax,
    },
    {
      cell,
      log,
      questions: late,
      onReload: (result) => telemetry.recordTableReload(result),
      onFeed: (revision, connected) => telemetry.tableFed(revision, connected),
    },
  );
  telemetry.tableFed(0, false);
  return {
    cell,
    source,
    uses,
    opened(addresses) {
      if (uses === undefined) return;
      const journal = (filter: Parameters<NonNullable<Telemetry["journal"]>["report"]>[0]) =>
        telemetry.journal?.report(filter) ?? NO_JOURNAL;
      questions = answerQuestions({ config, cell, addresses, journal, uses });
    },
  };
}
