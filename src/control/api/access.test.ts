// Who may ask what, and how they show who they are.

import { request as httpsRequest } from "node:https";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from "vitest";
import { document } from "../../../test/support/api-document.ts";
import { startWorld } from "../../../test/support/api-world.ts";
import type { ApiWorld } from "../../../test/support/api-world.ts";
import { makeAuthority } from "../../../test/support/certificates.ts";
import { silentLog } from "../../base/log.ts";
import { Credentials } from "../credentials.ts";
import { serveApi } from "./serve-api.ts";

const tokens = { sidecar: "sidecar-token-0123", viewer: "viewer-token-01234", editor: "editor-token-01234" };
type Who = keyof typeof tokens | "nobody" | "stranger" | "replica";

const ranks: Readonly<Record<Who, number>> = { nobody: -1, stranger: -1, sidecar: 0, viewer: 1, replica: 1, editor: 2 };

/** What each operation needs. A new one has to be added here. */
const needs: Readonly<Record<string, number>> = {
  live: -1,
  ready: -1,
  metrics: -1,
  getDescription: -1,
  ...Object.fromEntries(
    ["listServices", "listSandboxes", "listGroups", "getService", "getSandbox", "getGroup", "waitForSandbox"].map(
      (id) => [id, 1],
    ),
  ),
  ...Object.fromEntries(["getTable", "listSidecars", "listChanges", "getTrace", "explain"].map((id) => [id, 1])),
  ...Object.fromEntries(
    ["create", "put", "patch", "delete"].flatMap((verb) =>
      ["Service", "Sandbox", "Group"].map((kind) => [`${verb}${kind}`, 2]),
    ),
  ),
  connect: 2,
};

const bearer: Readonly<Record<Who, Record<string, string>>> = {
  nobody: {},
  stranger: { authorization: "Bearer another-token-0123" },
  sidecar: { authorization: `Bearer ${tokens.sidecar}` },
  viewer: { authorization: `bearer ${tokens.viewer}` },
  editor: { authorization: `Bearer ${tokens.editor}` },
  replica: { authorization: "Bearer replica-secret" },
};

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-access-"));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function tokensFile(folder: string): Promise<string> {
  const file = join(folder, "tokens.yaml");
  const entries = Object.entries(tokens).map(([role, token]) => ({ name: `the-${role}`, role, token }));
  await writeFile(file, JSON.stringify(entries));
  return file;
}

async function credentials(file: string): Promise<Credentials> {
  const auth = { kind: "credentials", tokens: file, certificates: [{ name: "dana", role: "viewer" }] } as const;
  const made = new Credentials({ auth, replicaSecret: "replica-secret", log: silentLog, pollMs: 5, settleMs: 5 });
  await made.start();
  return made;
}

describe("every operation", () => {
  let world: ApiWorld;
  let authority: Credentials;
  let folder = "";
  const internal = [{ method: "GET", path: "/v1/internal/x", answer: async () => ({ told: true }) }] as const;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "sidelane-access-"));
    authority = await credentials(await tokensFile(folder));
    world = await startWorld({ authority, internal });
  });
  afterEach(async () => {
    authority.close();
    await world.close();
    await rm(folder, { recursive: true, force: true });
  });

  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { operationId }]) => ({ method: method.toUpperCase(), path, operationId })),
  );

  test.each(operations)("$operationId", async ({ method, path, operationId }) => {
    const needed = needs[operationId];
    expect(needed).toBeDefined();
    for (const who of Object.keys(ranks) as Who[]) {
      const target = path.replace("{name}", "nothing").replace("{id}", "0".repeat(32));
      const got = await world.ask(method, target, { headers: bearer[who] });
      const expected = ranks[who] >= (needed ?? 9) ? "in" : ranks[who] < 0 ? 401 : 403;
      expect([401, 403].includes(got.status) ? got.status : "in", `${who}: ${got.body}`).toBe(expected);
      if (got.status === 401) expect(got.headers["www-authenticate"]).toContain("Bearer");
    }
  });

  test("what replicas ask each other is nobody else's business", async () => {
    const ask = (who: Who): Promise<Response> =>
      fetch(`http://${world.server.address}/v1/internal/x`, { headers: bearer[who] });
    expect(await (await ask("replica")).json()).toEqual({ told: true });
    expect((await ask("editor")).status).toBe(403);
    expect((await ask("nobody")).status).toBe(401);
  });

  test("the audit log has the name of the token", async () => {
    await world.ask("POST", "/v1/services", { headers: bearer.editor, body: { name: "checkout" } });
    const got = await world.ask("GET", "/v1/audit", { headers: bearer.viewer });
    expect(got.json["entries"]).toMatchObject([{ actor: "the-editor" }]);
  });

  test.each(["Basic abc", "Bearer", "Bearer a b", "token"])("%s is no bearer token", async (authorization) => {
    const got = await world.ask("GET", "/v1/services", { headers: { authorization } });
    expect(got).toMatchObject({ status: 401, json: { detail: expect.stringContaining("Bearer TOKEN") as string } });
  });
});

test("a token counts as long as the file has it", async () => {
  const file = await tokensFile(await temporaryFolder());
  const authority = await credentials(file);
  expect(authority.identify(tokens.editor, undefined)).toMatchObject({ name: "the-editor" });
  const write = async (content: string): Promise<void> => {
    await writeFile(`${file}.new`, content);
    await rename(`${file}.new`, file);
  };
  await write("- { name: new, role: editor, token: new-token-0123456 }\n");
  await vi.waitFor(() => expect(authority.identify("new-token-0123456", undefined)).toMatchObject({ name: "new" }));
  expect(authority.identify(tokens.editor, undefined)).toMatchObject({ refused: expect.any(String) as string });
  await write("- { name: new, role: editor, token: short }\n");
  await vi.waitFor(() => expect(authority.problem).toContain("has 5 characters"));
  expect(authority.identify("new-token-0123456", undefined)).toMatchObject({ name: "new" });
  authority.close();
});

test("a tokens file that cannot be used is no start", async () => {
  await expect(credentials("/nowhere/tokens.yaml")).rejects.toThrow("/nowhere/tokens.yaml does not exist");
});

test("certificates have roles by their names", async () => {
  const folder = await temporaryFolder();
  const [authority, strangers] = await Promise.all([makeAuthority(), makeAuthority("Strangers")]);
  const own = await authority.sign("control", { addresses: ["127.0.0.1"] });
  const files = {
    certificate: join(folder, "tls.crt"),
    key: join(folder, "tls.key"),
    clientCa: join(folder, "ca.crt"),
  };
  await Promise.all([
    writeFile(files.certificate, own.certificate),
    writeFile(files.key, own.key),
    writeFile(files.clientCa, authority.certificate),
  ]);
  const who = await credentials(await tokensFile(folder));
  const world = await startWorld({ authority: who });
  const server = await serveApi({
    config: { address: "127.0.0.1:0", tls: files },
    backend: world.backend,
    log: silentLog,
    times: { pollMs: 5, settleMs: 5 },
  });
  const ask = (path: string, client: { certificate: string; key: string } | undefined, method = "GET") =>
    new Promise<{ status: number | undefined; body: string; issuer: string }>((resolve, reject) => {
      const shown = client === undefined ? {} : { cert: client.certificate, key: client.key };
      const ca = [authority.certificate, strangers.certificate];
      const sent = httpsRequest(
        `https://${server.address}${path}`,
        { method, ca, agent: false, ...shown },
        (response) => {
          const { issuer } = (response.socket as TLSSocket).getPeerCertificate();
          text(response).then(
            (body) => resolve({ status: response.statusCode, body, issuer: String(issuer.CN) }),
            reject,
          );
        },
      );
      sent.on("error", reject);
      sent.end();
    });
  const [dana, eve, mallory] = await Promise.all([
    authority.sign("dana"),
    authority.sign("eve"),
    strangers.sign("dana"),
  ]);
  expect((await ask("/v1/services", dana)).status).toBe(200);
  expect((await ask("/v1/services/x", dana, "DELETE")).status).toBe(403);
  expect(await ask("/v1/services", eve)).toMatchObject({
    status: 401,
    body: expect.stringContaining("no role for") as string,
  });
  expect((await ask("/v1/services", mallory)).status).toBe(401);
  expect((await ask("/v1/services", undefined)).status).toBe(401);
  expect((await ask("/live", undefined)).status).toBe(200);

  // The certificate is taken into use when it changes.
  const next = await strangers.sign("control", { addresses: ["127.0.0.1"] });
  await Promise.all([writeFile(files.certificate, next.certificate), writeFile(files.key, next.key)]);
  await vi.waitFor(async () => expect((await ask("/live", undefined)).issuer).toBe("Strangers"));
  await server.close();
  await world.close();
  who.close();
});
