// What the data plane has in memory is part of its contract (docs/performance.md): the parsers, the metrics library and
// the demo's OpenTelemetry stay out of it until they are asked for.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { startFeedServer, whole } from "../support/feed-server.ts";

const project = join(import.meta.dirname, "..", "..");

/** The packages that a proxy has loaded when it listens. */
async function packagesOf(table: string): Promise<readonly string[]> {
  const directory = await mkdtemp(join(tmpdir(), "sidelane-light-"));
  onTestFinished(() => rm(directory, { recursive: true }));
  await writeFile(join(directory, "routes.yaml"), "services: { shop: {} }\n");
  const config = join(directory, "sidelane.yaml");
  await writeFile(
    config,
    "service: shop\nlisteners: [{ direction: inbound, address: 127.0.0.1:0, target: 127.0.0.1:1 }]\n" +
      `table: ${table}\nadmin: { address: 127.0.0.1:0 }\n`,
  );
  const child = fork(join(project, "src/main.ts"), ["proxy", "--config", config], {
    execArgv: ["--import", join(project, "test/support/log-packages.ts")],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  const exit = once(child, "exit");
  onTestFinished(() => void child.kill("SIGKILL"));
  const [listening] = (await once(child, "message")) as [{ readonly kind: string }];
  expect(listening.kind).toBe("listening");
  child.send("packages");
  const [{ packages }] = (await once(child, "message")) as [{ readonly packages: string[] }];
  expect(packages).toContain("pino");
  child.kill("SIGTERM");
  expect((await exit)[0]).toBe(0);
  return packages;
}

const HEAVY = /^(yaml|zod|prom-client|undici|ws$|@grpc|@protobufjs|protobufjs|@opentelemetry\/)/;

test("a running proxy has loaded no package but the command line's and the log's", async () => {
  const packages = await packagesOf("{ file: ./routes.yaml }");
  expect(packages.filter((name) => HEAVY.test(name))).toEqual([]);
});

test("one that follows a control plane has gRPC and the codec of its messages besides, and nothing that reads .proto files", async () => {
  const server = await startFeedServer({ onHello: (sidecar) => sidecar.send(whole(1, { services: { shop: {} } })) });
  const packages = await packagesOf(`{ control: "${server.address}", keep: ./kept.json }`);
  const allowed = /^(@grpc\/grpc-js|protobufjs|@protobufjs\/.*)$/;
  expect(packages).toContain("@grpc/grpc-js");
  expect(packages.filter((name) => HEAVY.test(name) && !allowed.test(name))).toEqual([]);
});
