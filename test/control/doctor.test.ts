import { describe, expect, test } from "vitest";
import { ControlClient } from "../../src/client/client.ts";
import { examineControl } from "../../src/doctor/examine-control.ts";
import { Findings } from "../../src/doctor/finding.ts";
import { Control, startApp, startSidecar } from "../support/control-plane.ts";
import { deadPort } from "../support/requests.ts";

async function doctor(url: string): Promise<readonly string[]> {
  const findings = new Findings();
  const access = { url, next: undefined, from: "--control", token: undefined, ca: undefined } as const;
  const client = new ControlClient({ ...access, certificate: undefined, certificateKey: undefined });
  await examineControl(client, "0.0.0", findings);
  return findings.all.map(({ level, subject, message }) => `${level} ${subject}: ${message}`);
}

describe("the doctor, of a control plane", () => {
  test("that is not there", async () => {
    const [only, ...more] = await doctor(`http://127.0.0.1:${await deadPort()}`);
    expect(only).toContain("error control plane");
    expect(only).toContain("connection refused");
    expect(more).toEqual([]);
  });

  test("whom nobody follows", async () => {
    const control = await Control.start();
    expect(await doctor(`http://${control.running.api}`)).toEqual([expect.stringContaining("no sidecar follows it")]);
  });

  test("with a sidecar, a service without one, and a sandbox whose endpoint is dead", async () => {
    const control = await Control.start();
    await control.send("POST", "/v1/services", { name: "checkout" });
    await control.send("POST", "/v1/services", { name: "cart" });
    await startSidecar(control, await startApp((_, response) => response.end("baseline")));
    await control.send("POST", "/v1/sandboxes", {
      name: "pr-7",
      services: { checkout: [`127.0.0.1:${await deadPort()}`] },
    });
    await control.waited("pr-7", "ready", 2000);
    const found = await doctor(`http://${control.running.api}`);
    expect(found).toContainEqual(expect.stringContaining("1 of 1 sidecars follow its table"));
    expect(found).toContainEqual(
      "warning services cart: have no sidecar: a sandbox of theirs is reached only by callers with an outbound listener",
    );
    expect(found.join("\n")).toMatch(/^warning sandbox pr-7: is not ready: .*checkout/mu);
    expect(found.filter((one) => one.startsWith("error"))).toEqual([]);
  });
});
