// The coarse clock stands still until a data plane runs. Deadlines of connections that come before its first tick must not
// begin in the past, or a sidecar that took long to start would time out its first requests.
import { expect, test } from "vitest";
import { coarse } from "../../src/base/clock.ts";
import { swept } from "../support/quiet.ts";
import { describeRelay, startTrio } from "../support/sidecar.ts";

describeRelay("a request before the first tick of the clock", (mode) => {
  test("has all of its time", async () => {
    coarse.nowMs -= 60 * 60 * 1000;
    const { client, backend } = await startTrio(mode);
    client.send("GET / HTTP/1.1\r\nHost: checkout\r\n\r\n");
    const { peer } = await backend.request();
    await swept(300);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect((await client.message()).body).toBe("ok");
  });
});
