// A `ControlSource` in the test's process, before a server of the test's.
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { silentLog } from "../../src/base/log.ts";
import type { Log } from "../../src/base/log.ts";
import type { ControlTableConfig } from "../../src/config/table-source.ts";
import type { Hello, Scope } from "../../src/feed/messages.ts";
import { TableCell } from "../../src/routing/table-cell.ts";
import { NO_QUESTIONS } from "../../src/table/control/questions.ts";
import { ControlSource } from "../../src/table/control/source.ts";
import type { ControlSourceDeps } from "../../src/table/control/source.ts";

/** What a test asks for; everything left out is the usual. */
export interface SourceOptions {
  readonly control: string;
  readonly config?: Partial<ControlTableConfig>;
  readonly scope?: Scope;
  readonly self?: Partial<Hello>;
  readonly keep?: string;
  readonly keeps?: boolean;
  readonly bytesMax?: number;
  readonly deps?: Partial<ControlSourceDeps>;
}

/** A source and what it has told. */
export interface Followed {
  readonly source: ControlSource;
  readonly cell: TableCell;
  readonly keep: string;
  /** Lines of the log, with their level in front. */
  readonly lines: string[];
  readonly loads: string[];
}

/** Makes one, not started; closed when the test is over. Reconnects come as early as they may. */
export async function makeSource(options: SourceOptions): Promise<Followed> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-feed-"));
  const keep = options.keep ?? join(folder, "kept.json");
  const cell = new TableCell();
  const lines: string[] = [];
  const loads: string[] = [];
  const line =
    (level: string): Log["info"] =>
    (message, fields) =>
      void lines.push(`${level} ${message} ${JSON.stringify(fields ?? {})}`);
  const source = new ControlSource(
    {
      config: { control: options.control, keep, ...options.config },
      scope: options.scope ?? { services: [], names: false },
      self: {
        instance: "instance-1",
        service: "checkout",
        sandbox: "",
        host: "host-1",
        version: "0.0.0",
        routes: true,
        probes: true,
        ...options.self,
      },
      keeps: options.keeps ?? true,
      bytesMax: options.bytesMax ?? 1024 * 1024,
    },
    {
      cell,
      log: { ...silentLog, info: line("info"), warn: line("warn"), error: line("error") },
      questions: NO_QUESTIONS,
      onReload: (result) => void loads.push(result),
      random: () => 0,
      ...options.deps,
    },
  );
  onTestFinished(async () => {
    await source.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { source, cell, keep, lines, loads };
}

/** Started; resolves when it has its first table. */
export async function startSource(options: SourceOptions): Promise<Followed> {
  const made = await makeSource(options);
  await made.source.start();
  return made;
}

/** The sandbox that a key selects, by name; undefined: none. */
export function targetOf({ cell }: Pick<Followed, "cell">, key: string): string | undefined {
  const bytes = Buffer.from(key);
  const target = cell.current.findTarget(bytes, 0, bytes.length);
  return target === -1 ? undefined : cell.current.targetName(target);
}
