// The command line against a real `sidelane control` with real sidecars: everything that a person or a pipeline does with a sandbox.
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer, request as httpRequest } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { completionScript } from "../../src/cli/completion.ts";
import { commands } from "../../src/cli/commands.ts";
import { mainFile, runCommand, startRole } from "../support/command-line.ts";
import type { CommandOutcome } from "../support/command-line.ts";
import { deadPort } from "../support/requests.ts";

const folder = mkdtempSync(join(tmpdir(), "sidelane-cli-"));
const ended: (() => unknown)[] = [() => rmSync(folder, { recursive: true, force: true })];

let url = "";
let outbound = "";
let baseline = "";
let changed = "";

/** A server that says who it is. */
async function app(name: string): Promise<string> {
  const server = createServer((_, response) => response.end(name));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  ended.push(() => {
    server.closeAllConnections();
    server.close();
  });
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

beforeAll(async () => {
  [baseline, changed] = await Promise.all([app("baseline"), app("pr-7")]);
  const control = await startRole(["control", "--store", `file:${join(folder, "store")}`], ended, {
    SIDELANE_CONTROL_API_ADDRESS: "127.0.0.1:0",
    SIDELANE_CONTROL_FEED_ADDRESS: "127.0.0.1:0",
  });
  url = `http://${control["api"]}`;
  const config = {
    service: "checkout",
    listeners: [
      { name: "inbound", direction: "inbound", address: "127.0.0.1:0", target: baseline },
      { name: "outbound", direction: "outbound", address: "127.0.0.1:0" },
    ],
    table: { control: control["feed"], keep: "kept.json" },
    admin: { address: "127.0.0.1:0" },
  };
  writeFileSync(join(folder, "sidelane.yaml"), JSON.stringify(config));
  const sidecar = await startRole(["proxy", "--config", join(folder, "sidelane.yaml")], ended);
  outbound = sidecar["outbound"] ?? "";
}, 60_000);

afterAll(async () => {
  for (const end of ended.toReversed()) await end();
});

/** One command line, as typed. */
const sidelane = (line: string, stdin = "", env: object = {}): Promise<CommandOutcome> =>
  runCommand(line, { SIDELANE_CONTROL: url, ...env }, stdin);

function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
}

/** Who answers a request for checkout with this key. */
function whoAnswers(key: string, trace = ""): Promise<string> {
  return new Promise((resolve, reject) => {
    const [host, port] = outbound.split(":");
    const headers = { host: "checkout", baggage: `sidelane=${key}`, ...(trace === "" ? {} : { traceparent: trace }) };
    const request = httpRequest({ host, port, path: "/order", headers, agent: false }, (response) => {
      let body = "";
      response.setEncoding("utf8").on("data", (text: string) => (body += text));
      response.on("end", () => resolve(body));
    });
    request.on("error", reject);
    request.end();
  });
}

// In order: each goes on with what the one before has left.
describe("a sandbox, from nothing to nothing", () => {
  test("an empty list says what to do", async () => {
    const { code, out, err } = await sidelane("sandbox list");
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(err).toContain("has no sandboxes yet; make one: sidelane sandbox create");
    expect((await sidelane("sidecars")).out).toMatch(/^checkout +- +.* current$/mu);
  });

  test("a table file brings its services in; the second time nothing changes", async () => {
    const table = file("routes.yaml", `services:\n  checkout: { baseline: ["${baseline}"] }\n  cart:\n`);
    expect(await sidelane(`apply -f ${table}`)).toMatchObject({
      code: 0,
      err: "",
      out: expect.stringMatching(/^service checkout created: version \d+\nservice cart created: version \d+\n$/u),
    });
    expect((await sidelane(`apply -f ${table}`)).out).toMatch(/^service checkout unchanged.*\nservice cart unchanged/u);
    expect((await sidelane("service list")).out).toMatch(/^checkout +checkout +127/mu);
    expect(await sidelane(`diff control ${table}`)).toMatchObject({ code: 0 });
  });

  test("create --wait returns when requests with its key reach it", async () => {
    const made = await sidelane(
      `sandbox create pr-7 --service checkout=${changed} --owner ada --label team=pay --label stage=review --ttl 4h --wait`,
    );
    expect(made).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^sandbox pr-7 created: key pr-7, version \d+\n$/u),
    });
    expect(made.err).toMatch(/sandbox pr-7 is ready: .*\n$/u);
    expect(await whoAnswers("pr-7")).toBe("pr-7");
    expect(await whoAnswers("pr-8")).toBe("baseline");
  });

  test("list and get", async () => {
    const { out } = await sidelane("sandbox list -l team=pay");
    expect(out.split("\n")[0]).toMatch(/^NAME +KEY +SERVICES +OWNER +AGE +EXPIRES +READY$/u);
    expect(out.split("\n")[1]).toMatch(/^pr-7 +pr-7 +checkout +ada +\d+[sm] +in 3h +yes$/u);
    expect((await sidelane("sandbox list -l team=other")).err).toContain("no sandboxes of");
    expect((await sidelane("sandbox list -o name")).out).toBe("pr-7\n");
    const { out: text } = await sidelane("sandbox get pr-7");
    expect(text).toContain(`services  checkout: ${changed}`);
    expect(text).toMatch(/Ready +yes +in use on every sidecar/u);
    const { out: json } = await sidelane("sandbox get pr-7 -o json");
    expect(JSON.parse(json)).toMatchObject({
      kind: "sandbox",
      name: "pr-7",
      owner: "ada",
      status: { conditions: [{}, {}, {}] },
    });
    const none = await sidelane("sandbox get pr-6");
    expect(none).toMatchObject({ code: 1, out: "" });
    expect(none.err).toContain('there is no sandbox "pr-6"; did you mean pr-7?');
  });

  test("what get prints can be applied, and changed on the way", async () => {
    const { out: yaml } = await sidelane("sandbox get pr-7 -o yaml");
    expect((await sidelane("apply -f -", yaml)).out).toMatch(/^sandbox pr-7 unchanged/u);
    expect((await sidelane("apply -f -", yaml.replace("owner: ada", "owner: bo"))).out).toMatch(
      /^sandbox pr-7 changed/u,
    );
  });

  test("update changes what is given, if nobody was faster", async () => {
    const { out: json } = await sidelane("sandbox get pr-7 -o json");
    const { version } = JSON.parse(json) as { readonly version: number };
    const stale = await sidelane(`sandbox update pr-7 --owner eve --if-version ${version - 1}`);
    expect(stale).toMatchObject({ code: 1, out: "" });
    expect(stale.err).toMatch(/version|changed/u);
    expect(stale.err).toContain("'sidelane sandbox get pr-7'");
    const taken = await sidelane(`sandbox update pr-7 --ttl none --label stage- --if-version ${version} -o json`);
    expect(JSON.parse(taken.out)).toMatchObject({
      owner: "bo",
      labels: { team: "pay" },
      services: { checkout: [changed] },
    });
    expect(JSON.parse(taken.out)).not.toHaveProperty("ttl");
  });

  test("a group follows labels, and holds what it lists", async () => {
    expect((await sidelane("group create pay-next --match-all team=pay")).code).toBe(0);
    expect((await sidelane("group list")).out).toMatch(/^pay-next +pay-next +pr-7 \(by label: team=pay\)/mu);
    expect((await sidelane("group create release --sandbox pr-7")).code).toBe(0);
    const held = await sidelane("sandbox delete pr-7");
    expect(held.code).toBe(1);
    expect(held.err).toContain("group release");
    expect((await sidelane("group delete release pay-next")).code).toBe(0);
  });

  test("what is wrong in a file is told where it stands there", async () => {
    const wrong = file(
      "wrong.yaml",
      "kind: sandbox\nname: pr-1\nservices:\n  chekout: ['a:1']\n---\nkind: sandbox\nname: pr-2\nttl: soon\nservices: {}\n",
    );
    const { code, out, err } = await sidelane(`apply -f ${wrong}`);
    expect({ code, out }).toEqual({ code: 1, out: "" });
    expect(err).toContain(`${wrong}:4:3: there is no service "chekout", write checkout`);
    expect(err).toContain(`${wrong}:8:1: `);
    expect(err).toContain("write 30m, 4h or 7d");
  });

  test("explain, diff, sidecars, audit", async () => {
    const explained = await sidelane("explain --control --service checkout --header baggage:sidelane=pr-7");
    expect(explained.out).toContain("checkout with key pr-7 goes to sandbox pr-7 (sandbox)");
    expect(explained.out).toMatch(new RegExp(`source +control plane ${url}, revision \\d+\n`, "u"));
    const table = file("without.yaml", `services:\n  checkout: { baseline: ["${baseline}"] }\n  cart:\n`);
    const diff = await sidelane(`diff control ${table}`);
    expect(diff.code).toBe(1);
    expect(diff.out).toContain(`key pr-7: sandbox pr-7 ${changed} -> baseline ${baseline}`);
    const audit = await sidelane("audit --name pr-7");
    expect(audit.out).toMatch(/anonymous +create sandbox pr-7 /u);
    const sidecars = await sidelane("sidecars -o json");
    expect(JSON.parse(sidecars.out)).toMatchObject([{ service: "checkout", sandbox: "", connected: true }]);
  });

  test("trace asks all sidecars by the control plane", async () => {
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    expect(await whoAnswers("pr-7", `00-${trace}-00f067aa0ba902b7-01`)).toBe("pr-7");
    const { code, out, err } = await sidelane(`trace ${trace} --control --wait`);
    expect({ code, err }).toEqual({ code: 0, err: "" });
    expect(out).toMatch(/checkout +pr-7 +sandbox +200 .* GET \/order/u);
    const unknown = await sidelane("trace 0bf92f3577b34da6a3ce929d0e0e4736 --control");
    expect(unknown.code).toBe(1);
    expect(unknown.err).toMatch(/\(checkout\): \d+ of \d+ entries/u);
  });

  test("names complete in a real bash", async () => {
    const script = `${completionScript("bash", commands)}
      sidelane() { "${process.execPath}" "${mainFile}" "$@"; }
      COMP_WORDS=(sidelane sandbox get pr); COMP_CWORD=3; _sidelane; echo "\${COMPREPLY[@]}"`;
    const env = { ...process.env, SIDELANE_CONTROL: url };
    const complete = await new Promise<string>((resolve) => {
      execFile("bash", ["-c", script.replaceAll("--within 1s", "--within 20s")], { env }, (_, out) => resolve(out));
    });
    expect(complete.trim()).toBe("pr-7");
  });

  test("delete --wait returns when nobody has it", async () => {
    const gone = await sidelane("sandbox delete pr-7 --wait");
    expect(gone).toMatchObject({ code: 0, out: "sandbox pr-7 deleted\n" });
    expect(gone.err).toContain("the sandbox pr-7 is gone from every sidecar");
    expect(await whoAnswers("pr-7")).toBe("baseline");
    expect((await sidelane("sandbox delete pr-7")).code).toBe(1);
    expect(await sidelane("sandbox delete pr-7 --ignore-missing")).toMatchObject({ code: 0, err: "" });
  });
});

describe("a sandbox that does not get ready", () => {
  test("says which endpoint is behind and why; it stays", async () => {
    const nobody = `127.0.0.1:${await deadPort()}`;
    const { code, out, err } = await sidelane(`sandbox create dead --service checkout=${nobody} --wait --timeout 3s`);
    expect(code).toBe(1);
    expect(out).toContain("sandbox dead created");
    expect(err).toContain("not ready after 3 s");
    expect(err).toContain("checkout");
    expect(err).toContain("sidelane sandbox wait dead");
    const { out: list } = await sidelane("sandbox list");
    expect(list).toMatch(/^dead .* no: \w+$/mu);
  });

  test("Ctrl-C stops the waiting and leaves the sandbox", async () => {
    const env = { ...process.env, SIDELANE_CONTROL: url };
    const child = spawn(process.execPath, [mainFile, "sandbox", "wait", "dead"], {
      env,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let err = "";
    child.stderr.setEncoding("utf8").on("data", (text: string) => (err += text));
    const exit = once(child, "close");
    await once(child.stderr, "data");
    child.kill("SIGINT");
    expect(await exit).toEqual([1, null]);
    expect(err).toContain("interrupted: sandbox dead stays");
    expect((await sidelane("sandbox get dead -o name")).out).toBe("dead\n");
    expect((await sidelane("sandbox delete dead")).code).toBe(0);
  });
});

test("what files bring in, files take away: groups before sandboxes before services", async () => {
  const all = file(
    "all.yaml",
    `services:\n  cart: { baseline: ["${baseline}"] }\nsandboxes:\n  pr-3: { services: { cart: ["${changed}"] } }\ngroups:\n  g: { sandboxes: [pr-3] }\n`,
  );
  const made = await sidelane(`sandbox create -f ${all} -o name`);
  expect(made).toMatchObject({ code: 1, out: "pr-3\ng\n" });
  expect(made.err).toContain(`${all}:2:3: service cart exists already`);
  expect((await sidelane(`apply -f ${all}`)).out.match(/changed|unchanged/gu)).toEqual([
    "changed",
    "unchanged",
    "unchanged",
  ]);
  expect(await sidelane(`sandbox delete -f ${all}`)).toMatchObject({
    code: 0,
    out: "group g deleted\nsandbox pr-3 deleted\nservice cart deleted\n",
  });
});

test("a control plane that is not there: which address, and how to name another", async () => {
  const { code, err } = await sidelane("sandbox list", "", { SIDELANE_CONTROL: `127.0.0.1:${await deadPort()}` });
  expect(code).toBe(1);
  expect(err).toMatch(
    /^the control plane at http:\/\/127\.0\.0\.1:\d+ cannot be reached: connection refused\nThat address is from SIDELANE_CONTROL\.\n$/u,
  );
});
