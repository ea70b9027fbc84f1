// Certificates that are renewed while requests run: nobody notices but the clients that look.
import { Agent, request } from "node:https";
import { once } from "node:events";
import type { IncomingMessage } from "node:http";
import type { TLSSocket } from "node:tls";
import { expect, onTestFinished, test } from "vitest";
import { startBodyApp } from "../support/app.ts";
import { type KeyPair, PemFolder, makeAuthority } from "../support/certificates.ts";
import { type Sidecar, describeRelay, startSidecar } from "../support/sidecar.ts";
import { getHttps } from "../support/tls-peers.ts";

const authority = await makeAuthority();
const ca = authority.certificate;
const named = (name: string): Promise<KeyPair> => authority.sign(name, { names: ["checkout"] });

async function start(mode: {
  readonly nativeWrites: boolean;
}): Promise<{ readonly sidecar: Sidecar; readonly folder: PemFolder }> {
  const app = await startBodyApp();
  const folder = await PemFolder.make();
  const tls = await folder.putPair("tls", await named("first"));
  const sidecar = await startSidecar({
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target: app.name, tls }],
    ...mode,
  });
  return { sidecar, folder };
}

async function reloads(sidecar: Sidecar, result: "applied" | "rejected", count: number): Promise<void> {
  await expect.poll(() => sidecar.telemetry.tls.reloads[result], { timeout: 10_000 }).toBe(count);
}

describeRelay("a renewed certificate", (mode) => {
  test("kept connections stay, new ones get it, no request fails", async () => {
    const { sidecar, folder } = await start(mode);
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    onTestFinished(() => agent.destroy());
    const kept = new Set<TLSSocket>();
    const ask = async (): Promise<number> => {
      const sent = request({
        host: "127.0.0.1",
        servername: "checkout",
        port: sidecar.port(),
        path: "/100",
        ca,
        agent,
      });
      sent.end();
      const [answer] = (await once(sent, "response")) as [IncomingMessage];
      kept.add(answer.socket as TLSSocket);
      answer.resume();
      await once(answer, "end");
      return answer.statusCode ?? 0;
    };
    expect(await ask()).toBe(200);
    await folder.putPair("tls", await named("second"));
    let done = false;
    const renewed = reloads(sidecar, "applied", 1).finally(() => (done = true));
    const statuses = new Set<number>();
    while (!done) {
      statuses.add(await ask());
      statuses.add((await getHttps({ port: sidecar.port(), ca, path: "/1" })).status);
    }
    await renewed;
    expect(await ask()).toBe(200);
    expect([...statuses]).toEqual([200]);
    expect(kept.size).toBe(1);
    expect((await getHttps({ port: sidecar.port(), ca, path: "/1" })).subject).toBe("second");
  });

  test("one that cannot be used changes nothing, and its successor does", async () => {
    const { sidecar, folder } = await start(mode);
    const subject = async (): Promise<string | undefined> =>
      (await getHttps({ port: sidecar.port(), ca, path: "/1" })).subject;
    await folder.put("tls.crt", (await named("other")).certificate);
    await reloads(sidecar, "rejected", 1);
    expect(await subject()).toBe("first");
    await folder.putPair("tls", await authority.signExpired("expired"));
    await reloads(sidecar, "rejected", 2);
    expect(await subject()).toBe("first");
    expect(sidecar.proxy.connections()).toMatchObject({
      certificates: [
        { name: "listener inbound", subject: "first", error: expect.stringContaining("expired") as string },
      ],
    });
    await folder.putPair("tls", await named("second"));
    await reloads(sidecar, "applied", 1);
    expect(await subject()).toBe("second");
  });
});
