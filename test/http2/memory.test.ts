// What requests leave behind: nothing. Each of these has fields, paths and bodies of its own, so that whatever is kept
// by name, by value or by stream would show.
import type { ClientHttp2Session } from "node:http2";
import { expect, test } from "vitest";
import { connectHttp2, fetchHttp2, send, startHelloApp } from "../support/http2-app.ts";
import { eventually, memoryGrowth } from "../support/quiet.ts";
import { openConnections } from "../support/requests.ts";
import { startSidecar } from "../support/sidecar.ts";

const MIB = 1024 * 1024;

const headersOf = (n: number): Record<string, string> => ({
  ":path": `/item/${n}?unique=${n}`,
  [`x-name-${n}`]: "v".repeat(500),
  "x-value": `${n}`.repeat(100),
  traceparent: `00-${String(n).padStart(32, "0")}-b7ad6b7169203331-01`,
  baggage: `sidelane=key-${n},user=${n}`,
});

async function ask(session: ClientHttp2Session, from: number, count: number): Promise<void> {
  for (let n = from; n < from + count; n += 20) {
    const batch = Array.from({ length: 20 }, (_, k) => fetchHttp2(session, headersOf(n + k)));
    for (const { status } of await Promise.all(batch)) expect(status).toBe(200);
  }
}

test("thousands of requests on one connection", async () => {
  const app = await startHelloApp();
  const sidecar = await startSidecar({ target: app.name });
  const session = await connectHttp2(sidecar.port());
  await ask(session, 0, 1000);
  const growth = memoryGrowth();
  await ask(session, 1000, 4000);
  // Four thousand times a kilobyte of fields went by.
  expect(growth()).toBeLessThan(2 * MIB);
});

test("hundreds of connections, ended in every way", async () => {
  const app = await startHelloApp();
  const sidecar = await startSidecar({ target: app.name });
  const live = async (n: number): Promise<void> => {
    const session = await connectHttp2(sidecar.port());
    await ask(session, n * 20, 20);
    const open = send(session, { ":method": "POST" });
    open.on("error", () => {});
    if (n % 3 === 0) session.close();
    else if (n % 3 === 1) session.destroy();
    open.destroy();
    session.destroy();
  };
  for (let n = 0; n < 50; n++) await live(n);
  await eventually(() => openConnections(sidecar) === 0);
  const growth = memoryGrowth();
  for (let n = 0; n < 200; n++) await live(n);
  await eventually(() => openConnections(sidecar) === 0);
  expect(growth()).toBeLessThan(2 * MIB);
  expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
});
