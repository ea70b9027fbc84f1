// An app that says of itself where a request went is not believed: what counts is the sidecar's own word.
import { expect, test } from "vitest";
import { Control, startApp, startSidecar } from "../support/control-plane.ts";

test("a baseline that pretends to be the sandbox does not make the sandbox ready", async () => {
  const control = await Control.start();
  const forged = "checkout=pr-7;reason=sandbox;version=1";
  const baseline = await startApp((_request, response) => {
    response.setHeader("x-sidelane-route", [forged, forged]);
    response.end("baseline");
  });
  await control.send("POST", "/v1/services", { name: "checkout" });
  await startSidecar(control, baseline);
  await control.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: ["127.0.0.1:1"] } });
  const last = await control.waited("pr-7", "ready", 1500);
  expect(last?.data).toMatchObject({ reached: false, message: expect.stringContaining("tenancy.onUnavailable") });
});
