// The relay before clients of nghttp2, the library that most of the world's HTTP/2 comes from: nghttp, h2load and curl.
// Not part of `npm test`, because they may be missing; where these tests run they have to be there.
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { beforeAll, expect, onTestFinished, test } from "vitest";
import { startHelloApp, startHttp2App, startHttp2BodyApp } from "../support/http2-app.ts";
import { describeRelay, startSidecar } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const run = promisify(execFile);
const LENGTH = 5 * 1024 * 1024 + 321;

async function output(program: string, ...args: readonly string[]): Promise<string> {
  const { stdout } = await run(program, args, { encoding: "latin1", maxBuffer: 16 * LENGTH, timeout: 25_000 });
  return stdout;
}

/** A file with a body of LENGTH bytes, gone when the test is over. */
async function bodyFile(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "body");
  await writeFile(file, bodyBlocks(LENGTH));
  return file;
}

beforeAll(async () => {
  for (const program of ["nghttp", "h2load", "curl"]) {
    await run(program, ["--version"]).catch(() => {
      throw new Error(
        `${program} is missing: install it (\`apt-get install nghttp2-client curl\`), or leave these tests out`,
      );
    });
  }
});

describeRelay("clients of nghttp2", (mode) => {
  test.each([
    ["8x16", ["-c8", "-m16"]],
    ["64x1", ["-c64", "-m1"]],
    ["1x100", ["-c1", "-m100"]],
    ["4x10, small windows", ["-c4", "-m10", "-w10", "-W12"]],
    ["4x10, no header table", ["-c4", "-m10", "--header-table-size=0", "--encoder-header-table-size=0"]],
  ])("h2load %s: every request succeeds", async (_, options) => {
    const app = await startHelloApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const report = await output("h2load", "-n3000", ...options, `http://127.0.0.1:${sidecar.port()}/`);
    expect(report).toContain("3000 succeeded, 0 failed, 0 errored, 0 timeout");
    expect(report).toContain("3000 2xx");
  });

  test("h2load with large bodies", async () => {
    const app = await startHttp2BodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const options = ["-n24", "-c3", "-m4", "-d", await bodyFile()];
    const report = await output("h2load", ...options, `http://127.0.0.1:${sidecar.port()}/`);
    expect(report).toContain("24 succeeded, 0 failed, 0 errored, 0 timeout");
  });

  test("nghttp with padding, CONTINUATION, trailers, Expect and dependencies", async () => {
    const seen: unknown[] = [];
    const app = await startHttp2App(async (stream, headers) => {
      stream.on("trailers", (trailers) => seen.push(trailers["x-end"]));
      seen.push(headers["x-large"]?.length);
      stream.resume();
      await new Promise((resolve) => {
        stream.once("end", resolve);
      });
      stream.respond({ ":status": 200 });
      stream.end("done");
    });
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const large = `x-large: ${"x".repeat(20_000)}`;
    const options = ["--padding=200", "--continuation", "--trailer", "x-end: 1", "--expect-continue", "-H", large];
    const url = `http://127.0.0.1:${sidecar.port()}/`;
    expect(await output("nghttp", ...options, "-d", await bodyFile(), url)).toBe("done");
    expect(seen).toEqual([20_000, "1"]);
  });

  test("curl with prior knowledge, both ways", async () => {
    const app = await startHttp2BodyApp();
    const sidecar = await startSidecar({ ...mode, target: app.name });
    const url = `http://127.0.0.1:${sidecar.port()}`;
    const options = ["--silent", "--show-error", "--http2-prior-knowledge"];
    expect(await output("curl", ...options, "--data-binary", `@${await bodyFile()}`, `${url}/`)).toBe(
      `${bodyDigest(LENGTH)} ${LENGTH}`,
    );
    const format = "%{size_download} %{http_version} %{response_code}";
    expect(await output("curl", ...options, "--output", "/dev/null", "--write-out", format, `${url}/${LENGTH}`)).toBe(
      `${LENGTH} 2 200`,
    );
  });
});
