import { connect } from "node:net";
import { expect, test } from "vitest";
import { describeRelay, startTrio } from "../support/sidecar.ts";

const GET = "GET / HTTP/1.1\r\nHost: checkout\r\n\r\n";

describeRelay("drain", (mode) => {
  test("idle connections end, running exchanges finish and say close, no new connection is accepted", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    const idle = await sidecar.connect();
    client.send(`${GET}${GET}`);
    const { peer } = await backend.request();
    const drained = sidecar.proxy.drain();
    expect(await idle.ended()).toBe("fin");
    idle.socket.destroy();
    await expect(
      new Promise((resolve, reject) => {
        connect(sidecar.port(), "127.0.0.1", () => resolve("connected")).once("error", reject);
      }),
    ).rejects.toThrow("ECONNREFUSED");
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    const answer = await client.message();
    expect(answer.body).toBe("ok");
    expect(answer.field("connection")).toBe("close");
    expect(await client.ended()).toBe("fin");
    expect(client.text).toBe("");
    client.socket.destroy();
    await drained;
    expect(await peer.ended()).toBe("fin");
  });

  test("a response that had begun before is completed", async () => {
    const { client, sidecar, backend } = await startTrio(mode);
    client.send(GET);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok");
    await client.until("ok");
    const drained = sidecar.proxy.drain();
    peer.send("ok");
    expect((await client.message()).body).toBe("okok");
    expect(await client.ended()).toBe("fin");
    client.socket.destroy();
    await drained;
    expect(await sidecar.metric("sidelane_active_requests")).toBe(0);
  });

  test("timeouts.drainMs bounds it; what still runs is cut off by close", async () => {
    const { client, sidecar, backend } = await startTrio({ ...mode, timeouts: { drainMs: 100 } });
    client.send(GET);
    const { peer } = await backend.request();
    await sidecar.proxy.drain();
    expect(client.ending).toBeUndefined();
    await sidecar.close();
    expect(await client.ended()).toBe("reset");
    expect(await peer.ended()).toMatch(/fin|reset/);
  });
});
