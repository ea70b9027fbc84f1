// A sandbox is made, waited for, used and deleted over the API, with whole sidecars, and what is said about it is what is so.
import { once } from "node:events";
import { request } from "node:http";
import { describe, expect, test } from "vitest";
import { Control, type Status, startApp, startSidecar } from "../support/control-plane.ts";

/** With a key, and what ends it. */
async function get(port: number, key: string): Promise<{ readonly text: () => Promise<string> }> {
  const sent = request({ port, headers: { host: "checkout", baggage: `sidelane=${key}` } });
  sent.on("error", () => {});
  sent.end();
  const [response] = (await once(sent, "response")) as [AsyncIterable<Buffer>];
  return {
    async text() {
      let text = "";
      for await (const piece of response) text += piece.toString();
      return text;
    },
  };
}

const conditionOf = ({ conditions }: Status, type: string): string | undefined =>
  conditions.find((one) => one.type === type)?.message;

describe("a sandbox", () => {
  test("is ready when every sidecar has it and it answers, and gone when its last exchange is over", async () => {
    const control = await Control.start();
    const baseline = await startApp((_request, response) => void response.end("baseline"));
    let finish: (() => void) | undefined;
    const app = await startApp((asked, response) => {
      if (asked.headers["user-agent"] === "sidelane-probe") return void response.end("well");
      response.write("pr-7 ");
      finish = () => response.end("done");
    });
    await control.send("POST", "/v1/services", { name: "checkout" });
    const ports = await Promise.all([startSidecar(control, baseline), startSidecar(control, baseline)]);
    await control.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: [app] } });
    expect(await control.waited("pr-7", "ready")).toMatchObject({ event: "done", data: { reached: true } });

    const exchange = await get(ports[0] ?? 0, "pr-7");
    await control.send("DELETE", "/v1/sandboxes/pr-7");
    const events: string[] = [];
    for await (const { event, data } of control.wait("pr-7", "deleted")) {
      events.push(event === "done" ? `${data.reached}` : (conditionOf(data.status, "Idle") ?? ""));
      if (events.at(-1)?.includes("still running") === true) finish?.();
    }
    expect(events.at(-1)).toBe("true");
    expect(
      events.filter((text) => text.startsWith("1 exchange is still running at the sidecar of checkout")),
    ).toHaveLength(1);
    expect(await exchange.text()).toBe("pr-7 done");
    expect(await (await get(ports[1] ?? 0, "pr-7")).text()).toBe("baseline");
  });

  test("is not ready while its endpoint refuses connections, which is said with the endpoint's name", async () => {
    const control = await Control.start();
    await control.send("POST", "/v1/services", { name: "checkout" });
    await startSidecar(control, "127.0.0.1:1");
    await control.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: ["127.0.0.1:1"] } });
    const last = await control.waited("pr-7", "ready", 1000);
    expect(last?.data.reached).toBe(false);
    expect(last?.data.message).toContain("checkout: 127.0.0.1:1: connect ECONNREFUSED 127.0.0.1:1");
    expect(last?.data.message).toContain("(asked through the sidecar of checkout on ");
  });

  test("is not ready where nobody could say whether it answers", async () => {
    const control = await Control.start();
    await control.send("POST", "/v1/services", { name: "checkout" });
    await control.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: ["127.0.0.1:1"] } });
    const last = await control.waited("pr-7", "ready", 300);
    expect(last?.data).toMatchObject({
      reached: false,
      message: expect.stringContaining("no sidecar is connected by which it could be asked"),
    });
  });

  test("a trace is gathered from the sidecars", async () => {
    const control = await Control.start();
    const app = await startApp((_request, response) => void response.end("pr-7"));
    await control.send("POST", "/v1/services", { name: "checkout" });
    const port = await startSidecar(control, "127.0.0.1:1");
    await control.send("POST", "/v1/sandboxes", { name: "pr-7", services: { checkout: [app] } });
    await control.waited("pr-7", "ready");
    const trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    const headers = { baggage: "sidelane=pr-7", traceparent: `00-${trace}-00f067aa0ba902b7-01` };
    await (await fetch(`http://127.0.0.1:${port}/cart`, { headers })).text();
    expect(await control.send("GET", `/v1/traces/${trace}`)).toMatchObject({
      sidecars: [
        { service: "checkout", journal: { entries: [{ path: "/cart", destination: "pr-7", endpoint: app }] } },
      ],
      missing: [],
    });
  });
});
