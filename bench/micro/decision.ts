// Look-up and decision at two sizes of table: a hundred thousand sandboxes must cost what ten do (DESIGN §5).
import { Buffer } from "node:buffer";
import { compile } from "../../src/routing/compile.ts";
import { CompiledTable } from "../../src/routing/compiled-table.ts";
import { decide, type RoutePolicy } from "../../src/routing/decide.ts";
import { tableSchema } from "../../src/config/table-schema.ts";
import type { Bench } from "./measure.ts";

const policy: RoutePolicy = { direction: "outbound", self: false, onUnknownKey: "baseline" };

function tableOf(sandboxes: number): CompiledTable {
  const document = tableSchema.parse({
    services: { checkout: { hosts: ["checkout", "checkout.shop.svc.cluster.local"], baseline: ["checkout:8080"] } },
    sandboxes: Object.fromEntries(
      Array.from({ length: sandboxes }, (_, i) => [`pr-${i}`, { services: { checkout: ["10.0.0.7:8080"] } }]),
    ),
  });
  return new CompiledTable(compile(document, { low: 1, high: 2 }), 1, "0123456789ab");
}

/** Keys in a random looking order, so that a large table is not served from the cache alone. */
function keysOf(sandboxes: number): readonly Buffer[] {
  return Array.from({ length: 1024 }, (_, i) => Buffer.from(`pr-${(i * 7919) % sandboxes}`));
}

function sized(sandboxes: number): Bench[] {
  const table = tableOf(sandboxes);
  const keys = keysOf(sandboxes);
  const host = Buffer.from("Checkout.Shop.svc.cluster.local");
  const unknown = Buffer.from("pr-x");
  const service = table.findService(host, 0, host.length);
  const port = table.servicePort(service, 8080);
  const name = sandboxes.toLocaleString("en-US");
  return [
    {
      name: `decision: find key, ${name} sandboxes`,
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          const key = keys[i & 1023] as Buffer;
          if (table.findTarget(key, 0, key.length) < 0) throw new Error("a key of the table was not found");
        }
      },
    },
    {
      name: `decision: find unknown key, ${name} sandboxes`,
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          if (table.findTarget(unknown, 0, unknown.length) >= 0) throw new Error("an unknown key was found");
        }
      },
    },
    {
      name: `decision: find service by host, ${name} sandboxes`,
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          if (table.findService(host, 0, host.length) !== service) throw new Error("the host was not found");
        }
      },
    },
    {
      name: `decision: decide (cached by the proxy), ${name} sandboxes`,
      run(iterations) {
        for (let i = 0; i < iterations; i++) {
          if (decide(table, policy, service, port, i & 7).reason !== "sandbox") throw new Error("decided wrongly");
        }
      },
    },
  ];
}

export const benches: readonly Bench[] = [...sized(10), ...sized(100_000)];
