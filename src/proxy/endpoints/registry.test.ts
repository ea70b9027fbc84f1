import { describe, expect, test } from "vitest";
import { coarse } from "../../base/clock.ts";
import { defaultLimits, defaultTimeouts } from "../../base/limits.ts";
import { silentLog } from "../../base/log.ts";
import { Telemetry } from "../../telemetry/metrics.ts";
import type { Exchange } from "../http1/exchange.ts";
import { EndpointRegistry } from "./registry.ts";
import type { LookUp } from "./resolver.ts";

const HOUR_MS = 3_600_000;
const noLookUp: LookUp = () => Promise.reject(new Error("nobody asks"));

function registry(lookUp = noLookUp): EndpointRegistry {
  const telemetry = new Telemetry({ sandboxLabelsMax: 10, processMetrics: false });
  return new EndpointRegistry({ limits: defaultLimits, timeouts: defaultTimeouts, telemetry, log: silentLog }, lookUp);
}

function names(endpoints: EndpointRegistry): string[] {
  return endpoints.describe(0).map((state) => (state as { endpoint: string }).endpoint);
}

/** An exchange that takes what comes; only what a pool calls. */
function patientExchange(): Exchange {
  return { waitingSinceMs: 0, assign: () => {}, connectFailed: () => {} } as unknown as Exchange;
}

describe("an endpoint", () => {
  test("is one object for one name, and knows its host and port", () => {
    const endpoints = registry();
    const one = endpoints.get("[::1]:8080");
    expect(endpoints.get("[::1]:8080")).toBe(one);
    expect(one).toMatchObject({ host: "::1", port: 8080, isName: false, addresses: ["::1"] });
    expect(endpoints.get("app.shop:80")).toMatchObject({ host: "app.shop", port: 80, isName: true, addresses: [] });
  });

  test("that nobody uses is forgotten, and is back with its next use, swept like any other", () => {
    const endpoints = registry();
    const one = endpoints.get("app.test:80");
    endpoints.sweep(coarse.nowMs);
    expect(names(endpoints)).toEqual(["app.test:80"]);
    endpoints.sweep(coarse.nowMs + HOUR_MS);
    expect(names(endpoints)).toEqual([]);

    // A route made before still holds it.
    const waiting = patientExchange();
    let failed = "";
    waiting.connectFailed = (reason) => (failed = reason) as unknown as void;
    one.http1.enqueue(waiting);
    expect(names(endpoints)).toEqual(["app.test:80"]);
    expect(endpoints.get("app.test:80")).toBe(one);
    endpoints.sweep(coarse.nowMs + HOUR_MS);
    expect(failed).toBe("upstream-unavailable");
  });

  test("is forgotten much sooner while there are very many of them", () => {
    const endpoints = registry();
    for (let n = 0; n < 10_001; n++) endpoints.get(`host-${n}.test:80`);
    endpoints.sweep(coarse.nowMs + 20_000);
    expect(names(endpoints)).toEqual([]);
  });

  test("that later tables do not ask for is retired after a while, however often tables change", () => {
    const endpoints = registry();
    const kept = "127.0.0.1:1";
    const gone = "127.0.0.1:2";
    endpoints.get(kept);
    const last = endpoints.get(gone);
    for (let step = 1; step <= 40; step++) {
      endpoints.noteTable();
      endpoints.get(kept);
      endpoints.sweep(coarse.nowMs + step * 100);
      if (step === 10) expect(names(endpoints)).toEqual([kept, gone]);
    }
    expect(names(endpoints)).toEqual([kept]);
    expect(last.retired).toBe(true);
    expect(endpoints.get(gone).retired).toBe(false);
  });

  test("that is busy outlives its table", () => {
    const endpoints = registry();
    const busy = endpoints.get("127.0.0.1:1");
    busy.outstanding = 1;
    endpoints.noteTable();
    for (let step = 1; step <= 40; step++) endpoints.sweep(coarse.nowMs + step * 100);
    expect(names(endpoints)).toEqual(["127.0.0.1:1"]);
    busy.outstanding = 0;
    endpoints.sweep(coarse.nowMs + 5000);
    expect(names(endpoints)).toEqual([]);
  });
});

describe("names", () => {
  test("are looked up by `warm`, once, and refreshed by the sweep while the endpoint is known", async () => {
    let asked = 0;
    const endpoints = registry(() => {
      asked++;
      return Promise.resolve(["127.0.0.1"]);
    });
    const one = endpoints.get("app.test:80");
    endpoints.warm(one);
    endpoints.warm(one);
    await new Promise(setImmediate);
    expect(asked).toBe(1);
    expect(one.addresses).toEqual(["127.0.0.1"]);
    endpoints.warm(one);
    expect(asked).toBe(1);
    for (let step = 1; step <= 4; step++) {
      endpoints.sweep(coarse.nowMs + step * defaultTimeouts.dnsRefreshMs);
      await new Promise(setImmediate);
    }
    expect(asked).toBe(5);
  });

  test("that were forgotten are looked up again before a connection is made", async () => {
    const answers = [["127.0.0.1"], ["127.0.0.2"]];
    const endpoints = registry(() => Promise.resolve(answers.shift() ?? []));
    const one = endpoints.get("app.test:80");
    endpoints.warm(one);
    await new Promise(setImmediate);
    endpoints.sweep(coarse.nowMs + HOUR_MS);
    one.http1.enqueue(patientExchange());
    await new Promise(setImmediate);
    expect(one.addresses).toEqual(["127.0.0.2"]);
    endpoints.close();
  });
});
