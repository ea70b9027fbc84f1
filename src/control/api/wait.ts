// `GET /v1/sandboxes/{name}/wait`: server-sent events until a sandbox is ready, or gone. Bounded in number and time; whoever does not
// read is told the newest state when it reads again.

import type { ServerResponse } from "node:http";
import { problemAnswer } from "../../admin/answer.ts";
import type { Answer } from "../../admin/answer.ts";
import { EventStream } from "../../admin/event-stream.ts";
import { badQuery } from "../../admin/query.ts";
import type { Query } from "../../admin/query.ts";
import type { Asked, StreamAnswer } from "../../admin/route.ts";
import { notFound } from "../plans.ts";
import type { ControlState } from "../state.ts";
import { refusalAnswer } from "./answers.ts";
import type { WaitEvent } from "./backend.ts";
import type { ApiCall, ApiParameter } from "./route.ts";

const WITHIN_MS = 60_000;
const WITHIN_MS_MAX = 3_600_000;
/** Replicas hear of commits within milliseconds, but for a moment after etcd was away. */
const HEARD_MS = 1_000;
/** Between signs of life: below the 30 to 60 s after which what stands between two parties takes silence for death. */
const BEAT_MS = 15_000;

export const waitParameters: readonly ApiParameter[] = [
  {
    name: "for",
    doc: "what to wait for: ready (default) or deleted",
    schema: { type: "string", enum: ["ready", "deleted"] },
  },
  {
    name: "withinMs",
    doc: "how long, 0 to 3600000; default 60000",
    schema: { type: "integer", minimum: 0, maximum: WITHIN_MS_MAX },
  },
];

/** `progress` events, and one `done` at the end. */
export async function waitAnswer(
  { backend, waits }: ApiCall,
  query: Query,
  { path }: Asked,
): Promise<Answer | StreamAnswer> {
  const name = path.get("name") ?? "";
  const what = query.get("for")?.[0] ?? "ready";
  if (what !== "ready" && what !== "deleted") {
    return badQuery(`for is ${JSON.stringify(what.slice(0, 100))}; write ready or deleted`, waitParameters);
  }
  const text = query.get("withinMs")?.[0] ?? String(WITHIN_MS);
  const withinMs = Number(text);
  if (!/^[0-9]{1,7}$/u.test(text) || withinMs > WITHIN_MS_MAX) {
    return badQuery(
      `withinMs is ${JSON.stringify(text.slice(0, 100))}, not a number from 0 to ${WITHIN_MS_MAX}`,
      waitParameters,
    );
  }
  if (what === "ready" && !(await isThereSoon(backend.state, name))) {
    return refusalAnswer(notFound(backend.state, "sandbox", name));
  }
  const { waitsMax } = backend.limits;
  if (waits.open >= waitsMax) {
    const detail = `${waitsMax} requests are waiting, which is limits.waitsMax; ask GET /v1/sandboxes/${name} instead`;
    return problemAnswer(503, detail, {}, { "retry-after": "5" });
  }
  return {
    status: 200,
    contentType: "text/event-stream",
    stream: (response) => {
      waits.open++;
      void tell(response, (signal) => backend.wait(name, what, withinMs, signal)).finally(() => waits.open--);
    },
  };
}

async function tell(
  response: ServerResponse,
  events: (signal: AbortSignal) => AsyncIterable<WaitEvent>,
): Promise<void> {
  const gone = new AbortController();
  let caughtUp = Promise.withResolvers<void>();
  const stream = new EventStream(
    response,
    () => caughtUp.resolve(),
    () => {
      gone.abort();
      caughtUp.resolve();
    },
  );
  // Whoever has not read for a whole beat is not there any more.
  const beat = setInterval(() => {
    if (!stream.beat()) stream.drop();
  }, BEAT_MS);
  try {
    for await (const event of events(gone.signal)) {
      if (gone.signal.aborted) return;
      const { kind, ...data } = event;
      stream.send(kind, JSON.stringify(data));
      if (kind === "done") return stream.end();
      if (stream.ready) continue;
      caughtUp = Promise.withResolvers<void>();
      await caughtUp.promise;
    }
    stream.end();
  } catch {
    stream.drop(); // what went wrong is in the log of whoever threw; a stream without `done` says that nothing was reached
  } finally {
    clearInterval(beat);
  }
}

/** Another replica may have just made it, of which this one is about to hear. */
async function isThereSoon(state: ControlState, name: string): Promise<boolean> {
  const isThere = (): boolean => state.find("sandbox", name) !== undefined;
  if (isThere()) return true;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, HEARD_MS);
  const off = state.onChange(() => isThere() && resolve());
  await promise;
  clearTimeout(timer);
  off();
  return isThere();
}
