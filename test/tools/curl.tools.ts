// The relay before curl, the client that everybody reaches for. Not part of `npm test`, because curl may be missing; where
// these tests run it has to be there.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startBodyApp } from "../support/app.ts";
import { describeRelay, startSidecar, startTrio } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const run = promisify(execFile);
const LENGTH = 40 * 1024 * 1024 + 12_345;

async function curl(...options: readonly string[]): Promise<string> {
  const { stdout } = await run("curl", ["--silent", "--show-error", "--max-time", "20", ...options], {
    encoding: "latin1",
    maxBuffer: 2 * LENGTH,
  });
  return stdout;
}

beforeAll(async () => {
  await run("curl", ["--version"]).catch(() => {
    throw new Error("curl is missing: install it (`apt-get install curl`), or leave these tests out");
  });
});

describeRelay("curl", (mode) => {
  test("gets an answer with its fields", async () => {
    const { sidecar, backend } = await startTrio(mode);
    const answer = curl("--include", `http://127.0.0.1:${sidecar.port()}/a?b`);
    const { request, peer } = await backend.request();
    expect(request.start).toBe("GET /a?b HTTP/1.1");
    peer.send("HTTP/1.1 200 OK\r\nX-Case: Kept\r\nContent-Length: 2\r\n\r\nok");
    expect(await answer).toBe("HTTP/1.1 200 OK\r\nX-Case: Kept\r\nContent-Length: 2\r\n\r\nok");
  });

  test("speaks HTTP/1.0 and gets a chunked answer without chunks", async () => {
    const { sidecar, backend } = await startTrio(mode);
    const answer = curl("--http1.0", `http://127.0.0.1:${sidecar.port()}/`);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n");
    expect(await answer).toBe("ok");
  });

  test("says that a response was cut short", async () => {
    const { sidecar, backend } = await startTrio(mode);
    const answer = curl(`http://127.0.0.1:${sidecar.port()}/`);
    const { peer } = await backend.request();
    peer.send("HTTP/1.1 200 OK\r\nX: y\r\n\r\nabc");
    await peer.sendParts([""]);
    peer.abort();
    await expect(answer).rejects.toThrow(/curl: \((?:18|56)\)/);
  });

  test("stays on HTTP/1.1 when it offers h2c", async () => {
    const { sidecar, backend } = await startTrio(mode);
    const answer = curl("--http2", `http://127.0.0.1:${sidecar.port()}/`);
    const { request, peer } = await backend.request();
    expect(request.raw).not.toMatch(/upgrade|http2-settings/i);
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(await answer).toBe("ok");
  });

  test.each([[], ["--header", "Transfer-Encoding: chunked"]])(
    "sends a large file (%j)",
    async (...options: string[]) => {
      const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
      onTestFinished(() => rm(folder, { recursive: true }));
      const file = join(folder, "body");
      await writeFile(file, bodyBlocks(LENGTH));
      const app = await startBodyApp();
      const sidecar = await startSidecar({ ...mode, target: app.name });
      const url = `http://127.0.0.1:${sidecar.port()}/`;
      // Above 1 MiB curl asks first: Expect: 100-continue.
      const said = await curl("--data-binary", `@${file}`, "--header", "Expect: 100-continue", ...options, url);
      expect(said).toBe(`${bodyDigest(LENGTH)} ${LENGTH}`);
    },
  );

  test("gets large bodies over one connection", async () => {
    const app = await startBodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const url = `http://127.0.0.1:${sidecar.port()}/${LENGTH}`;
    const report = await curl(
      "--output",
      "/dev/null",
      "--output",
      "/dev/null",
      "--write-out",
      "%{size_download} %{num_connects}\n",
      url,
      `${url}?chunked`,
    );
    expect(report).toBe(`${LENGTH} 1\n${LENGTH} 0\n`);
  });
});
