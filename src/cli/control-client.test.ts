// What people read when the control plane says no, or nothing. The answers are those of the API, RFC 9457.
import type { ControlAccess } from "../client/access.ts";
import { createServer } from "node:http";
import type { IncomingMessage, RequestListener } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { describe, expect, onTestFinished, test } from "vitest";
import { makeAuthority } from "../../test/support/certificates.ts";
import { deadPort } from "../../test/support/requests.ts";
import { controlAccess } from "./control-access.ts";
import { ControlClient } from "../client/client.ts";

async function listening(server: Server, scheme: string): Promise<string> {
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  return `${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** A control plane that gives one answer to everything. */
async function answering(status: number, body: string | object, requests: IncomingMessage[] = []): Promise<string> {
  const problem = typeof body === "object" && status >= 400;
  const listener: RequestListener = (request, response) => {
    requests.push(request);
    response.writeHead(status, { "content-type": problem ? "application/problem+json" : "application/json" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };
  return listening(createServer(listener), "http");
}

const access = (url: string, more: Partial<ControlAccess> = {}): ControlAccess => ({
  ...controlAccess({ control: url }, {}),
  ...more,
});

async function refusal(client: ControlClient): Promise<string> {
  const wrong = client.merge("sandbox", "pr-7", {}, { ifVersion: 3, allowUnknownServices: false });
  return wrong.then(
    () => "it worked",
    (error: unknown) => (error as Error).message,
  );
}

const problem = (status: number, detail: string, more: object = {}): object => ({
  type: "about:blank",
  title: "No",
  status,
  detail,
  ...more,
});

describe("what is refused says why and what to do", () => {
  test.each<[number, object, Partial<ControlAccess>, string[]]>([
    [
      412,
      problem(412, "sandbox pr-7 is at version 17 now: ada changed it 3 minutes ago"),
      {},
      ["ada changed it 3 minutes ago", "'sidelane sandbox get pr-7'"],
    ],
    [
      422,
      problem(422, "the sandbox cannot be like this", {
        problems: [
          { pointer: "/services/chekout", message: 'there is no service "chekout"', hint: "write checkout" },
          { pointer: "", message: "and more" },
        ],
      }),
      {},
      ['  services.chekout: there is no service "chekout", write checkout\n  and more'],
    ],
    [503, problem(503, "the store etcd://a:1 cannot be reached"), {}, ["etcd://a:1", "What is there can be read"]],
    [401, problem(401, "a token is needed"), {}, ["SIDELANE_TOKEN", "--token-file FILE"]],
    [401, problem(401, "this token is not known"), { token: "x" }, ["ask whoever keeps its tokens file"]],
    [403, problem(403, "ci is a viewer, and this needs a editor"), { token: "x" }, ["ci is a viewer", "'editor'"]],
    [409, problem(409, "sandbox pr-7 exists already: made by bo"), {}, ["sidelane sandbox update pr-7"]],
    [409, problem(409, "sandbox pr-7 is used by group g"), {}, ["is used by group g"]],
  ])("%d %j", async (status, body, more, texts) => {
    const message = await refusal(new ControlClient(access(await answering(status, body), more)));
    for (const text of texts) expect(message).toContain(text);
    expect(message).not.toContain("undefined");
  });

  test("what is sent", async () => {
    const requests: IncomingMessage[] = [];
    const url = await answering(200, { name: "pr-7", version: 4 }, requests);
    const client = new ControlClient(access(url, { token: "secret" }));
    await client.merge("sandbox", "pr-7", {}, { ifVersion: 3, allowUnknownServices: true });
    expect(requests[0]).toMatchObject({ method: "PATCH", url: "/v1/sandboxes/pr-7?allowUnknownServices=1" });
    expect(requests[0]?.headers).toMatchObject({
      authorization: "Bearer secret",
      "if-match": '"3"',
      "content-type": "application/merge-patch+json",
    });
  });

  test("another server", async () => {
    const url = await answering(200, "<html>hello</html>");
    expect(await refusal(new ControlClient(access(url)))).toContain(
      `${url} answered with status 200, and that is no answer`,
    );
    const other = await answering(200, { name: "$(reboot)" });
    expect(await refusal(new ControlClient(access(other)))).toContain("something else than a sandbox");
  });

  test("control characters in an answer do not reach the terminal", async () => {
    const url = await answering(400, problem(400, "bad\u001b[2J"));
    expect(await refusal(new ControlClient(access(url)))).toContain(String.raw`bad\u{001b}[2J`);
  });
});

describe("a control plane that cannot be reached", () => {
  test("which address was asked, and where it is from", async () => {
    const url = `http://127.0.0.1:${await deadPort()}`;
    const given = await refusal(new ControlClient(controlAccess({ control: url }, {})));
    expect(given).toBe(
      `the control plane at ${url} cannot be reached: connection refused\nThat address is from --control.`,
    );
    const variable = await refusal(new ControlClient(controlAccess({ control: url }, { SIDELANE_CONTROL: url })));
    expect(variable).toContain("from SIDELANE_CONTROL");
    const without = await refusal(new ControlClient({ ...access(url), from: "default" }));
    expect(without).toContain("Set SIDELANE_CONTROL, or give --control");
  });

  test("another replica that is named answers in its place", async () => {
    const dead = `http://127.0.0.1:${await deadPort()}`;
    const url = await answering(200, { name: "pr-7", version: 1 });
    expect(await refusal(new ControlClient(controlAccess({ control: `${dead}, ${url}` }, {})))).toBe("it worked");
    expect(await refusal(new ControlClient(controlAccess({ control: `${dead},${dead}` }, {})))).toContain(
      "connection refused",
    );
  });

  test("a certificate of nobody's, and of an authority that is named", async () => {
    const authority = await makeAuthority();
    const leaf = await authority.sign("control", { addresses: ["127.0.0.1"] });
    const server = createTlsServer({ cert: leaf.certificate, key: leaf.key }, (_, response) => {
      response.end(JSON.stringify({ name: "pr-7", version: 1 }));
    });
    const url = await listening(server, "https");
    expect(await refusal(new ControlClient(access(url)))).toMatch(/cannot be trusted: .*--ca FILE/u);
    expect(await refusal(new ControlClient(access(url, { ca: Buffer.from(authority.certificate) })))).toBe("it worked");
    expect(await refusal(new ControlClient(access(url.replace("https", "http"))))).toContain("cannot be reached");
  });
});

describe("where it is", () => {
  test.each([
    ["127.0.0.1:15020", "http://127.0.0.1:15020"],
    ["https://control.example/base/", "https://control.example/base"],
    ["[::1]:1", "http://[::1]:1"],
  ])("%s", (given, url) => {
    expect(controlAccess({ control: given }, {}).url).toBe(url);
  });

  test.each([
    ["ftp://a", "is no http or https URL"],
    ["https://a:b@c", "has credentials in it"],
    ["http://a/?x", "has more than host and path"],
    ["15020", "the host is missing"],
  ])("%s: %s", (given, message) => {
    expect(() => controlAccess({ control: given }, {})).toThrow(message);
  });
});
