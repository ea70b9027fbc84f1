// PostgreSQL and Redis with their own clients through `protocol: tcp` and `auto`. Not part of `npm test`, because the programs
// may be missing; where these tests run they have to be there (`apt-get install postgresql redis-server`).
import { execFile, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { startPostgres, startRedis } from "../support/servers.ts";
import { startSidecar } from "../support/sidecar.ts";
import { bodyBlocks, bodyDigest } from "../support/stream.ts";

const run = promisify(execFile);
const MIB = 1024 * 1024;

/** The port of a sidecar before a server. */
async function before(server: number, protocol: string): Promise<number> {
  const target = `127.0.0.1:${server}`;
  const sidecar = await startSidecar({
    listeners: [{ direction: "inbound", address: "127.0.0.1:0", target, protocol }],
  });
  return sidecar.port();
}

/** What a program prints. */
async function output(program: string, options: readonly string[]): Promise<string> {
  const { stdout } = await run(program, options, { encoding: "latin1", maxBuffer: 200 * MIB });
  return stdout;
}

/** What a program prints that is given `length` bytes of a body. */
async function outputOf(program: string, options: readonly string[], input: Iterable<Uint8Array>): Promise<string> {
  const child = spawn(program, options, { stdio: ["pipe", "pipe", "inherit"] });
  let text = "";
  child.stdout.setEncoding("latin1").on("data", (more: string) => (text += more));
  for (const part of input) if (!child.stdin.write(part)) await once(child.stdin, "drain");
  child.stdin.end();
  await once(child, "close");
  return text;
}

const psql = (port: number, ...commands: readonly string[]): readonly string[] => [
  ...["--no-psqlrc", "--tuples-only", "--no-align", "--host=127.0.0.1", `--port=${port}`, "--username=postgres"],
  ...commands.flatMap((command) => ["--command", command]),
];

describe.each(["tcp", "auto"])("PostgreSQL through %s", (protocol) => {
  test("answers, gives and takes large tables, and hears a cancellation", async () => {
    const server = await startPostgres();
    const port = await before(server, protocol);
    expect(await output("psql", psql(port, "select 6 * 7"))).toBe("42\n");

    const large = "select n, repeat(md5(n::text), 20) from generate_series(1, 50000) n";
    const direct = createHash("sha256")
      .update(await output("psql", psql(server, large)))
      .digest("hex");
    const relayed = createHash("sha256")
      .update(await output("psql", psql(port, large)))
      .digest("hex");
    expect(relayed).toBe(direct);

    await output("psql", psql(port, "create table t (n int, s text)"));
    const rows = Array.from({ length: 100_000 }, (_, n) => Buffer.from(`${n}\t${"x".repeat(n % 300)}\n`));
    await outputOf("psql", psql(port, "copy t from stdin"), rows);
    const sums = "select count(*), sum(n), sum(length(s)) from t";
    expect(await output("psql", psql(port, sums))).toBe(await output("psql", psql(server, sums)));
    expect(await output("psql", psql(port, "select count(*) from t"))).toBe("100000\n");

    // psql cancels over a connection of its own, which the server closes without a word.
    const child = spawn("psql", psql(port, "select 'begun'", "select pg_sleep(60)"), {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (errors += text));
    await once(child.stdout, "data");
    while (
      !(await output("psql", psql(server, "select query from pg_stat_activity where state = 'active'"))).includes(
        "pg_sleep(60)",
      )
    );
    child.kill("SIGINT");
    await once(child, "close");
    expect(errors).toContain("canceling statement due to user request");
  });
});

describe.each(["tcp", "auto"])("Redis through %s", (protocol) => {
  test("answers, keeps a large value, takes a pipeline, and publishes", async () => {
    const server = await startRedis();
    const port = await before(server, protocol);
    const cli = (...words: readonly string[]): readonly string[] => ["-p", String(port), ...words];
    expect(await output("redis-cli", cli("ping"))).toBe("PONG\n");

    const length = 30 * MIB + 7;
    expect(await outputOf("redis-cli", cli("-x", "set", "large"), bodyBlocks(length))).toBe("OK\n");
    const value = await output("redis-cli", cli("--raw", "get", "large"));
    expect(
      createHash("sha256")
        .update(Buffer.from(value.slice(0, -1), "latin1"))
        .digest("hex"),
    ).toBe(bodyDigest(length));

    const commands = Array.from({ length: 50_000 }, (_, n) => Buffer.from(`SET key:${n} ${n}\r\n`));
    expect(await outputOf("redis-cli", cli("--pipe"), commands)).toContain("errors: 0, replies: 50000");
    expect(await output("redis-cli", cli("dbsize"))).toBe("50001\n");

    const subscriber = spawn("redis-cli", cli("subscribe", "news"), { stdio: ["ignore", "pipe", "inherit"] });
    await once(subscriber.stdout, "data");
    const heard = once(subscriber.stdout, "data");
    expect(await output("redis-cli", cli("publish", "news", "hello"))).toBe("1\n");
    expect(String((await heard)[0])).toContain("hello");
    subscriber.kill();
    await once(subscriber, "close");
  });
});
