import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { expect, onTestFinished, test } from "vitest";
import { silentLog } from "../base/log.ts";
import type { NotReadyReason } from "./backend.ts";
import { startOpenAdmin } from "./open-server.ts";

async function start(reasons: readonly NotReadyReason[] = []) {
  const app = createServer((socket) => socket.destroy());
  await once(app.listen(0, "127.0.0.1"), "listening");
  onTestFinished(() => void app.close());
  const { port } = app.address() as AddressInfo;
  const targets = new Map([[port, { host: "127.0.0.1", port }]]);
  const backend = { notReady: () => reasons, metrics: async () => "a 1\n", targets };
  const server = await startOpenAdmin("*:0", backend, silentLog);
  onTestFinished(() => server.close());
  const at = server.address.slice(server.address.lastIndexOf(":") + 1);
  const ask = async (path: string, init: RequestInit = {}, host = "127.0.0.1") => {
    const answer = await fetch(`http://${host}:${at}${path}`, init);
    return { status: answer.status, text: await answer.text() };
  };
  return { app, port, ask, at: Number(at) };
}

test("answers four questions, on both families, and nothing else", async () => {
  const { port, ask } = await start();
  for (const host of ["127.0.0.1", "[::1]"]) {
    expect(await ask("/live", {}, host)).toMatchObject({ status: 200 });
    expect(await ask("/ready", {}, host)).toMatchObject({ status: 200 });
  }
  expect(await ask("/metrics")).toEqual({ status: 200, text: "a 1\n" });
  expect(await ask(`/reach/tcp/${port}`)).toMatchObject({ status: 200 });
  for (const path of [
    "/",
    "/table",
    "/explain",
    "/connections",
    "/journal",
    "/lost-keys",
    "/config",
    "/reach",
    "/reach/tcp",
  ]) {
    expect(await ask(path)).toMatchObject({ status: 404 });
  }
  expect(await ask("/drain", { method: "POST" })).toMatchObject({ status: 404 });
  expect(await ask("/ready", { method: "POST" })).toMatchObject({ status: 405 });
});

test("says why it is not ready", async () => {
  const { ask } = await start(["no-table"]);
  expect(await ask("/ready")).toMatchObject({ status: 503, text: expect.stringContaining("no-table") as string });
});

test("whoever holds connections keeps no probe out", async () => {
  const { ask, at } = await start();
  const sockets = Array.from({ length: 300 }, () => connect(at, "127.0.0.1"));
  onTestFinished(() => sockets.forEach((socket) => socket.destroy()));
  for (const socket of sockets) socket.on("error", () => {});
  await Promise.all(
    sockets.map((socket) => Promise.race([once(socket, "connect"), once(socket, "close")]).catch(() => {})),
  );
  expect(await ask("/live")).toMatchObject({ status: 200 });
});

test("a port that is not the app's is not connected to", async () => {
  const { port, ask } = await start();
  for (const other of ["22", "0", "65536", "-1", "x", `${port}.0`, `0${port}`, "%31"]) {
    const { status, text } = await ask(`/reach/tcp/${other}`);
    expect({ status, text }).toMatchObject({
      status: 404,
      text: expect.stringContaining(`these are ${port}`) as string,
    });
  }
});

test("an app that is gone is not reached", async () => {
  const { app, port, ask } = await start();
  app.close();
  await once(app, "close");
  const { status, text } = await ask(`/reach/tcp/${port}`);
  expect({ status, text }).toMatchObject({
    status: 503,
    text: expect.stringContaining("nothing listens there") as string,
  });
});
