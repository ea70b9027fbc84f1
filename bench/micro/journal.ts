// What an exchange with a key pays for its line in the journal: one `begin` and one `end`.
import { Buffer } from "node:buffer";
import { Journal, NO_GRPC_STATUS } from "../../src/telemetry/journal.ts";
import type { JournalDraft } from "../../src/telemetry/journal-draft.ts";

const origin = { listener: "inbound", direction: "inbound", protocol: "http1" } as const;

const head =
  "POST /cart/items/48213?coupon=spring HTTP/1.1\r\nhost: checkout\r\n" +
  "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nbaggage: user=ada,sidelane=pr-1234\r\n\r\n";

function range(bytes: Buffer, text: string): readonly [start: number, end: number] {
  const start = bytes.indexOf(text);
  return [start, start + Buffer.byteLength(text)];
}

function bench(name: string, long: string) {
  const bytes = Buffer.from(
    head.replace("/cart/items/48213", `/cart/items/48213${long}`).replace("pr-1234", `pr-1234${long}`),
  );
  const [methodStart, methodEnd] = range(bytes, "POST");
  const [pathStart, pathEnd] = range(bytes, `/cart/items/48213${long}?coupon=spring`);
  const [traceStart, traceEnd] = range(bytes, "4bf92f3577b34da6a3ce929d0e0e4736");
  const [spanStart, spanEnd] = range(bytes, "00f067aa0ba902b7");
  const [keyStart, keyEnd] = range(bytes, `pr-1234${long}`);
  const journal = new Journal(1000);
  const write = (draft: JournalDraft, i: number): void => {
    draft.origin = origin;
    draft.service = "checkout";
    draft.destination = "pr-1234";
    draft.reason = "sandbox";
    draft.startedMs = i + 0.25;
    draft.setKey("carrier", bytes, keyStart, keyEnd);
    draft.setTrace(bytes, traceStart, traceEnd);
    draft.setSpan(bytes, spanStart, spanEnd);
    draft.setMethod(bytes, methodStart, methodEnd);
    draft.setPath(bytes, pathStart, pathEnd);
    const number = journal.begin(draft);
    journal.end(number, 200, NO_GRPC_STATUS, "sandbox", "pr-1234", "10.0.0.7:8080", i * 0.125);
  };
  return {
    name: `journal: ${name}`,
    run(iterations: number): void {
      const { draft } = journal;
      for (let i = 0; i < iterations; i++) write(draft, i);
      const [last] = journal.read({ limit: 1 });
      if (last?.status !== 200 || last.trace !== "4bf92f3577b34da6a3ce929d0e0e4736")
        throw new Error(`${name}: ${last?.trace}`);
    },
  };
}

/** Begin and end of one entry. */
export const benches: readonly { name: string; run(iterations: number): void }[] = [
  bench("begin and end", ""),
  bench("begin and end, key and path too long", "-x".repeat(200)),
];
