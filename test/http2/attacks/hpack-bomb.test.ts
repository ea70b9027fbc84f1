// Attack: HPACK bomb (CVE-2016-6581). One large field goes into the dynamic table; after that every octet on the wire
// is another copy of it: 16 KiB of references to 4 KiB each are 64 MiB of fields.
import { expect, test } from "vitest";
import { writeBlock, indexed, literal } from "../../support/http2-hpack.ts";
import { get } from "../../support/http2-sidecar.ts";
import { flood, startEndpointSiege, startSiege } from "../../support/http2-siege.ts";
import { memoryGrowth } from "../../support/quiet.ts";

/** The entry that was added last. */
const LATEST = indexed(62);

test("many references to one large entry are refused without being kept; again and again they end the connection", async () => {
  const { attacker, neighbour, sidecar } = await startSiege({
    limits: { http2ResetBurst: 20, http2ResetsPerSecond: 1 },
  });
  const growth = memoryGrowth();
  const bomb = Buffer.concat([
    writeBlock(get()),
    literal(["x-bomb", "x".repeat(3900), "indexed"]),
    Buffer.concat(Array.from({ length: 12_000 }, () => LATEST)),
  ]);
  const first = attacker.stream(attacker.nextId);
  await flood(attacker, 200, () => {
    attacker.block(attacker.nextId, bomb, { endStream: true });
    attacker.nextId += 2;
  });
  await first.over().catch(() => {});
  expect(first.resetCode !== undefined || first.heads[0]?.status === 431 || attacker.goaways.length > 0).toBe(true);
  expect((await attacker.goneAway()).code).toBe(11);
  expect(await sidecar.metric("sidelane_http2_abuse_total", { kind: "header-list" })).toBeGreaterThan(0);
  expect(growth()).toBeLessThan(16 * 1024 * 1024);
  await neighbour.stop();
});

test("the table is in step behind a refused head: the next request is read right", async () => {
  const { attacker, neighbour } = await startSiege();
  const bomb = Buffer.concat([
    writeBlock(get()),
    literal(["x-bomb", "x".repeat(3900), "indexed"]),
    Buffer.concat(Array.from({ length: 100 }, () => LATEST)),
    literal([":path", "/after", "indexed"]),
  ]);
  const refused = attacker.stream(attacker.nextId);
  attacker.block(attacker.nextId, bomb, { endStream: true });
  attacker.nextId += 2;
  await refused.over();
  expect(refused.heads[0]?.status ?? 431).toBe(431);
  const next = attacker.stream(attacker.nextId);
  const block = Buffer.concat([
    literal([":method", "GET"]),
    literal([":scheme", "http"]),
    literal([":authority", "checkout"]),
    LATEST,
  ]);
  attacker.block(attacker.nextId, block, { endStream: true });
  expect((await next.complete()).heads[0]?.status).toBe(200);
  await neighbour.stop();
});

test("from an endpoint: 502, and nothing is kept", async () => {
  const { hostile, got, asked, client, neighbour } = await startEndpointSiege();
  const growth = memoryGrowth();
  const bomb = Buffer.concat([
    indexed(8),
    literal(["x-bomb", "x".repeat(3900), "indexed"]),
    Buffer.concat(Array.from({ length: 12_000 }, () => LATEST)),
  ]);
  hostile.block(got.id, bomb);
  await asked.over();
  expect(asked.heads[0]?.status ?? 502).toBe(502);
  expect(growth()).toBeLessThan(8 * 1024 * 1024);
  expect((await client.request(get()).complete()).body).toBe("hello");
  await neighbour.stop();
});
