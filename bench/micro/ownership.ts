// Whose is a message: what a consumer pays that asks for a thousand at a time (`POST /owner`), per message. Ten members of
// baggage and a table of a hundred thousand sandboxes; HTTP itself is not in it.
import { Buffer } from "node:buffer";
import { MessageKeys } from "../../src/admin/message-keys.ts";
import { BatchDecisions, readBatch } from "../../src/admin/ownership-batch.ts";
import { OwnershipStreams } from "../../src/admin/ownership-streams.ts";
import { silentLog } from "../../src/base/log.ts";
import { carrierOf } from "../../src/routing/carrier.ts";
import { compile } from "../../src/routing/compile.ts";
import { CompiledTable } from "../../src/routing/compiled-table.ts";
import { tableSchema } from "../../src/config/table-schema.ts";
import { ownerOf, ownershipRule } from "../../src/routing/ownership.ts";
import { TableCell } from "../../src/routing/table-cell.ts";
import type { Bench } from "./measure.ts";

const SANDBOXES = 100_000;
const MESSAGES = 1000;

function tableOf(sandboxes: number): CompiledTable {
  const document = tableSchema.parse({
    services: { checkout: { baseline: ["checkout:8080"] } },
    sandboxes: Object.fromEntries(
      Array.from({ length: sandboxes }, (_, i) => [`pr-${i}`, { services: { checkout: ["10.0.0.7:8080"] } }]),
    ),
  });
  return new CompiledTable(compile(document, { low: 1, high: 2 }), 1, "0123456789ab");
}

const table = tableOf(SANDBOXES);
const small = tableOf(1000);
const cell = new TableCell();
cell.publish(table);

const backend = {
  service: "checkout",
  instance: "baseline",
  cell,
  batchMax: MESSAGES,
  keys: new MessageKeys([carrierOf("baggage", "sidelane")]),
  streams: new OwnershipStreams({ cell, instance: "baseline", streamsMax: 0, log: silentLog }),
};

/** Nine members of others and, in every second message, a key. */
function baggageOf(i: number): string {
  const others = Array.from({ length: 9 }, (_, n) => `app.attribute.${n}=value-${i + n}`);
  return (i % 2 === 0 ? others : others.toSpliced(5, 0, `sidelane=pr-${(i * 7919) % SANDBOXES}`)).join(",");
}

const body = Buffer.from(
  JSON.stringify({ messages: Array.from({ length: MESSAGES }, (_, i) => ({ baggage: baggageOf(i) })) }),
);

function batchOf() {
  const batch = readBatch(body, MESSAGES);
  if ("status" in batch) throw new Error(batch.body);
  return batch;
}

const parsed = batchOf();

function decideAll(batch: typeof parsed): BatchDecisions {
  const decisions = new BatchDecisions(backend, batch);
  while (!decisions.complete) {
    const problem = decisions.decideSome();
    if (problem !== undefined) throw new Error(problem);
  }
  return decisions;
}

export const benches: readonly Bench[] = [
  {
    name: "ownership: a message of a batch, from the body to the answer",
    run(iterations) {
      for (let i = 0; i < iterations; i += MESSAGES) {
        if (decideAll(batchOf()).toJson().length < MESSAGES) throw new Error("an answer is missing");
      }
    },
  },
  {
    name: "ownership: a message of a batch, its key and owner alone",
    run(iterations) {
      for (let i = 0; i < iterations; i += MESSAGES) {
        if (!decideAll(parsed).complete) throw new Error("an answer is missing");
      }
    },
  },
  {
    name: "ownership: owner of a key",
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        if (ownerOf(table, "checkout", "pr-4711").owner !== "pr-4711") throw new Error("another owner");
      }
    },
  },
  {
    name: "ownership: the rule, 1,000 sandboxes",
    run(iterations) {
      for (let i = 0; i < iterations; i++) {
        let claims = 0;
        for (const some of ownershipRule(small, "checkout")) claims += some.length;
        if (claims !== 1000) throw new Error("claims are missing");
      }
    },
  },
];
