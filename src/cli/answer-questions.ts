// What the table feed's client asks of the process around it: answers to the control plane's questions, and what goes on.
import type { ProxyConfig } from "../config/proxy-config.ts";
import type { Activity, AnswerBody, JournalQuestion, QuestionBody } from "../feed/messages.ts";
import type { SandboxUses } from "../proxy/endpoints/sandbox-uses.ts";
import type { TableCell } from "../routing/table-cell.ts";
import type { JournalFilter, JournalReport } from "../telemetry/journal-entry.ts";

/** Entries of one answer: what `sidelane trace` asks each sidecar for. */
const JOURNAL_ENTRIES_MAX = 250;
/** Probes at one time; each is a request of our own. More wait for their turn. */
const PROBES_MAX = 16;

/** For an answer to get back to who asked. */
const ON_THE_WAY_MS = 300;

/** What is asked for answers. */
export interface QuestionDeps {
  readonly config: ProxyConfig;
  readonly cell: TableCell;
  /** Listener name -> `host:port` actually bound: `RunningProxy.addresses`. */
  readonly addresses: ReadonlyMap<string, string>;
  /** As in `GET /journal`. */
  readonly journal: (filter: JournalFilter) => JournalReport | Promise<JournalReport>;
  readonly uses: SandboxUses;
}

/** The process as the feed's client sees it. */
export interface FeedQuestions {
  /** Answers in time, or with an error; never rejects. */
  answer(question: QuestionBody, withinMs: number): Promise<AnswerBody>;
  /**
   * What is to be reported now; may be asked every second. `used` is not empty at most every 10 s, and told only once: ask when
   * it can be sent. `busy` is how it stands now: to be sent whenever it differs from the last time, and, when a new table has just
   * been taken into use, before that is acknowledged, so that nobody takes a deletion for complete in between.
   */
  activity(): Activity;
}

/** Answers for this process. */
export function answerQuestions({ config, cell, addresses, journal, uses }: QuestionDeps): FeedQuestions {
  const probes = new Turns(PROBES_MAX);
  const answerTo = async (question: QuestionBody, withinMs: number): Promise<AnswerBody> => {
    if (question.kind === "journal") {
      const { service, sandbox } = config;
      const report = await journal(filterOf(question.journal));
      return {
        kind: "journal",
        journal: JSON.stringify({ service, ...(sandbox === undefined ? {} : { sandbox }), ...report }),
      };
    }
    // Who asks stops to wait then: the answer has to be on its way before.
    const deadlineMs = performance.now() + Math.max(withinMs - ON_THE_WAY_MS, withinMs / 2);
    const result = await probes.run(async () => {
      // Few sidecars are ever asked.
      const { probe } = await import("../proxy/probe/probe.ts");
      return probe({ config, table: cell.current, addresses }, question.probe, deadlineMs - performance.now());
    });
    return "error" in result ? { kind: "error", error: result.error } : { kind: "probe", probe: result };
  };
  return {
    answer: (question, withinMs) =>
      answerTo(question, withinMs).catch((error: unknown) => ({
        kind: "error",
        error: error instanceof Error ? error.message : String(error),
      })),
    activity: () => uses.activity(performance.now()),
  };
}

function filterOf({ trace, key, limit }: JournalQuestion): JournalFilter {
  return {
    limit: limit === 0 ? JOURNAL_ENTRIES_MAX : Math.min(limit, JOURNAL_ENTRIES_MAX),
    ...(trace === "" ? {} : { trace }),
    ...(key === "" ? {} : { key }),
  };
}

/** So many at a time; the others wait. */
class Turns {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(free: number) {
    this.#free = free;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await task();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}
