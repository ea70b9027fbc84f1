// A new table under load: every request is answered by a destination that was right at the time, none is lost, and what the
// table no longer names is let go.
import { describe, expect, test } from "vitest";
import { type Backend, ok, startAnswering, startBackend } from "../support/backend.ts";
import { endpointState, eventually, get, request, upstreamGauges } from "../support/requests.ts";
import { startSidecar } from "../support/sidecar.ts";

const SWAPS = 1000;
const CLIENTS = 6;
const inSandbox = "baggage: sidelane=x";

function answering(name: string): Promise<Backend> {
  return startAnswering(() => ok(name));
}

/** A table in which sandbox `x` has the service on this endpoint; without one there is no such sandbox. */
function tableWith(endpoint: string | undefined): object {
  if (endpoint === undefined) return { services: { checkout: {} } };
  return { services: { checkout: {} }, sandboxes: { x: { services: { checkout: [endpoint] } } } };
}

test("1,000 tables under load lose nothing and mislead nobody", async () => {
  const [baseline, one, two] = await Promise.all([answering("baseline"), answering("one"), answering("two")]);
  const variants = [
    { name: "one", table: tableWith(one.name) },
    { name: "two", table: tableWith(two.name) },
    { name: "baseline", table: tableWith(undefined) },
  ];
  const sidecar = await startSidecar({ target: baseline.name, table: variants[0]?.table ?? {} });
  /** Who was right, by the number of the swap. */
  const right = ["one"];
  let swapping = true;
  let answers = 0;

  const client = async (method: string): Promise<void> => {
    const peer = await sidecar.connect();
    while (swapping) {
      const since = right.length - 1;
      peer.send(request(method, "/", method === "POST" ? "body" : undefined, inSandbox));
      const { status, body } = await peer.message();
      expect(status).toBe(200);
      expect(right.slice(since)).toContain(body);
      answers++;
    }
  };
  const clients = Array.from({ length: CLIENTS }, (_, index) => client(index % 2 === 0 ? "GET" : "POST"));
  for (let swap = 1; swap <= SWAPS; swap++) {
    const variant = variants[swap % variants.length] ?? { name: "", table: {} };
    sidecar.publish(variant.table);
    right.push(variant.name);
    const before = answers;
    // At least one answer per table, so that every table decides something.
    while (answers === before) await new Promise(setImmediate);
  }
  swapping = false;
  await Promise.all(clients);
  expect(answers).toBeGreaterThanOrEqual(SWAPS);
  expect(await sidecar.metric("sidelane_retries_total")).toBe(0);
  for (const { name } of [baseline, one, two]) expect(endpointState(sidecar, name)?.outstanding ?? 0).toBe(0);
  expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
});

describe("an endpoint that the new table does not name", () => {
  test("loses its idle connections and is forgotten", async () => {
    const [baseline, gone] = await Promise.all([answering("baseline"), answering("gone")]);
    const timeouts = { upstreamIdleMs: 0 };
    const sidecar = await startSidecar({ target: baseline.name, table: tableWith(gone.name), timeouts });
    const client = await sidecar.connect();
    client.send(get("/", inSandbox));
    expect((await client.message()).body).toBe("gone");
    sidecar.publish(tableWith(undefined));
    client.send(get("/", inSandbox));
    expect((await client.message()).body).toBe("baseline");
    // Idle connections are kept for ever here, and still these are closed.
    expect(await gone.connections[0]?.ended()).toBe("fin");
    await eventually(() => expect(endpointState(sidecar, gone.name)).toBeUndefined());
    expect(endpointState(sidecar, baseline.name)).toMatchObject({ idle: 1 });
    expect(await upstreamGauges(sidecar)).toEqual({ idle: 1, active: 0, connecting: 0 });
  });

  test("finishes what runs, by the table that the request met, and goes then", async () => {
    const baseline = await answering("baseline");
    const [slow, bystander] = await Promise.all([startBackend(), answering("bystander")]);
    const timeouts = { upstreamIdleMs: 0 };
    const both = {
      services: { checkout: {} },
      sandboxes: { x: { services: { checkout: [slow.name] } }, y: { services: { checkout: [bystander.name] } } },
    };
    const sidecar = await startSidecar({ target: baseline.name, table: both, timeouts });
    const first = await sidecar.connect();
    first.send(get("/", "baggage: sidelane=y"));
    expect((await first.message()).body).toBe("bystander");
    const running = await sidecar.connect();
    running.send(get("/", inSandbox, "x-sidelane-debug: 1"));
    const { peer } = await slow.request();
    const client = await sidecar.connect();
    sidecar.publish(tableWith(undefined));
    client.send(get("/", inSandbox, "x-sidelane-debug: 1"));
    expect((await client.message()).field("x-sidelane-route")).toBe("checkout=baseline;reason=unknown-key;table=2");
    // An endpoint that vanishes at the same time and has nothing to do goes first; then this one has had its chance, too.
    await eventually(() => expect(endpointState(sidecar, bystander.name)).toBeUndefined());
    expect(endpointState(sidecar, slow.name)).toMatchObject({ active: 1, outstanding: 1 });
    peer.send(ok("slow"));
    const answer = await running.message();
    expect(answer.body).toBe("slow");
    expect(answer.field("x-sidelane-route")).toBe("checkout=x;reason=sandbox;table=1");
    expect(await peer.ended()).toBe("fin");
    await eventually(() => expect(endpointState(sidecar, slow.name)).toBeUndefined());
  });

  test("and that a later table names again is the same as before", async () => {
    const [baseline, back] = await Promise.all([answering("baseline"), answering("back")]);
    const sidecar = await startSidecar({ target: baseline.name, table: tableWith(back.name) });
    const client = await sidecar.connect();
    for (let n = 0; n < 3; n++) {
      sidecar.publish(tableWith(back.name));
      client.send(get("/", inSandbox));
      expect((await client.message()).body).toBe("back");
      sidecar.publish(tableWith(undefined));
      client.send(get("/", inSandbox));
      expect((await client.message()).body).toBe("baseline");
    }
    expect(back.connections).toHaveLength(1);
  });
});

test("failures are counted under the sandbox again when it returns after its labels were freed", async () => {
  const baseline = await answering("baseline");
  const refusing = tableWith("127.0.0.1:1");
  const sidecar = await startSidecar({ target: baseline.name, table: refusing });
  const failures = (): Promise<number> =>
    sidecar.metric("sidelane_requests_total", { destination: "x", reason: "sandbox-unavailable" });
  const fail = async (): Promise<void> => {
    const client = await sidecar.connect();
    client.send(get("/", inSandbox));
    expect((await client.message()).status).toBe(503);
  };
  await fail();
  expect(await failures()).toBe(1);
  sidecar.publish(tableWith(undefined));
  sidecar.telemetry.retainSandboxes(() => false);
  expect(await failures()).toBe(0);
  sidecar.publish(refusing);
  await fail();
  expect(await failures()).toBe(1);
});
