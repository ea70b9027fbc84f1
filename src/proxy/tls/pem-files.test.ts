import { rm, writeFile } from "node:fs/promises";
import { describe, expect, onTestFinished, test } from "vitest";
import { type KeyPair, PemFolder, makeAuthority } from "../../../test/support/certificates.ts";
import { silentLog } from "../../base/log.ts";
import { TlsStats } from "../../telemetry/tls-stats.ts";
import { type PemContents, PemFiles, type PemPaths } from "./pem-files.ts";

const authority = await makeAuthority();

async function follow(folder: PemFolder, paths: PemPaths) {
  const stats = new TlsStats();
  const applied: PemContents[] = [];
  const errors: string[] = [];
  const warnings: string[] = [];
  const infos: string[] = [];
  type Fields = Readonly<Record<string, unknown>>;
  const whyOf = (fields: Fields): string => String(fields["why"]).replaceAll(`${folder.path}/`, "");
  const log = {
    ...silentLog,
    info: (message: string) => void infos.push(message),
    warn: (_message: string, fields: Fields = {}) => void warnings.push(whyOf(fields)),
    error: (_message: string, fields: Fields = {}) => void errors.push(whyOf(fields)),
  };
  const deps = { log, stats, pollMs: 5, settleMs: 5 };
  const files = new PemFiles("listener inbound", paths, (contents) => void applied.push(contents), deps);
  onTestFinished(() => files.close());
  const start = async (): Promise<PemContents> => {
    try {
      return await files.start();
    } catch (error) {
      throw new Error(String(error).replaceAll(`${folder.path}/`, ""), { cause: error });
    }
  };
  return { files, start, stats, applied, errors, warnings, infos };
}

/** A pair as it is given on. */
const inUse = ({ certificate, key }: KeyPair): PemContents => ({ certificate: `${certificate.trimEnd()}\n`, key });

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

describe("PemFiles", () => {
  test("what is missing, empty or for another key changes nothing, and is told once each", async () => {
    const folder = await PemFolder.make();
    const pair = await authority.sign("first");
    const paths = await folder.putPair("tls", pair);
    const { files, start, stats, applied, errors, infos } = await follow(folder, paths);
    expect(await start()).toEqual(inUse(pair));

    await rm(paths.certificate);
    await until(() => errors.length === 1);
    await folder.put("tls.crt", "");
    await until(() => errors.length === 2);
    const second = await authority.sign("second");
    await folder.put("tls.crt", second.certificate);
    await until(() => errors.length === 3);
    expect(errors).toEqual([
      "tls.crt does not exist",
      "tls.crt is empty, write it again",
      "tls.key does not belong to the certificate of second, it is the key of another one, write the key that the certificate was made for",
    ]);
    expect(applied).toEqual([]);
    expect(files.status()).toMatchObject({
      subject: "first",
      error: expect.stringContaining("does not belong") as string,
    });
    expect(stats.reloads).toEqual({ applied: 0, rejected: 3 });

    await folder.put("tls.key", second.key);
    await until(() => applied.length === 1);
    expect(applied[0]).toEqual(inUse(second));
    expect(files.status()).toEqual({
      name: "listener inbound",
      subject: "second",
      notAfterMs: stats.notAfterMs.get("listener inbound"),
    });
    expect(infos).toEqual(["certificates reloaded"]);
  });

  test("back to what is in use: the error is over, nothing is applied", async () => {
    const folder = await PemFolder.make();
    const pair = await authority.sign("first");
    const paths = await folder.putPair("tls", pair);
    const { files, start, applied, errors, infos } = await follow(folder, paths);
    await start();
    await writeFile(paths.key, "nonsense");
    await until(() => errors.length === 1);
    await writeFile(paths.key, pair.key);
    await until(() => files.status().error === undefined);
    expect(applied).toEqual([]);
    expect(infos).toEqual(["certificates are the ones in use again"]);
  });

  test("one that has expired does not replace a good one, but is better than nothing at the start", async () => {
    const folder = await PemFolder.make();
    const paths = await folder.putPair("tls", await authority.sign("good"));
    const running = await follow(folder, paths);
    await running.start();
    const expired = await authority.signExpired("old");
    await folder.putPair("tls", expired);
    await until(() => running.errors.some((error) => error.includes("expired")));
    expect(running.applied).toEqual([]);

    const starting = await follow(folder, paths);
    expect((await starting.start()).certificate).toBe(inUse(expired).certificate);
    expect(starting.errors).toEqual([]);
    expect(starting.warnings).toEqual([
      "tls.crt expired on 2020-06-01 12:00 UTC, whoever verifies it refuses the connection, renew it",
    ]);
    await folder.putPair("tls", await authority.sign("renewed"));
    await until(() => starting.applied.length === 1 && running.applied.length === 1);
    expect(starting.files.status()).not.toHaveProperty("error");
  });

  test("anything but files of a sensible size is refused at the start", async () => {
    const folder = await PemFolder.make();
    const { start } = await follow(folder, { ca: folder.path });
    await expect(start()).rejects.toThrow(/^Error: TLS of listener inbound: \S+ is not a file, name a file$/u);
    const big = await follow(folder, { ca: await folder.put("big.crt", "x".repeat(5_000_000)) });
    await expect(big.start()).rejects.toThrow(
      "TLS of listener inbound: big.crt has 5000000 bytes, more than any certificate",
    );
  });

  test("files put together without a line end between the certificates", async () => {
    const folder = await PemFolder.make();
    const other = await makeAuthority("Other");
    const ca = await folder.put("ca.crt", `${authority.certificate.trimEnd()}${other.certificate.trimEnd()}`);
    const { start } = await follow(folder, { ca });
    expect(await start()).toEqual({ ca: `${authority.certificate.trimEnd()}\n${other.certificate.trimEnd()}\n` });
  });

  test("no files at all is fine", async () => {
    const { start, files } = await follow(await PemFolder.make(), {});
    expect(await start()).toEqual({});
    expect(files.status()).toEqual({ name: "listener inbound" });
  });
});
