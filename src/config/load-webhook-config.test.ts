import { readFileSync } from "node:fs";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { loadWebhookConfig, webhookConfigJsonSchema } from "./load-webhook-config.ts";
import { formatProblem } from "./problem.ts";
import { quantity } from "./quantity.ts";

const refused = (text: string, environment = {}): readonly string[] => {
  const loaded = loadWebhookConfig(text, "webhook.yaml", environment);
  return loaded.ok ? [] : loaded.problems.map(formatProblem);
};

describe("a webhook config", () => {
  test("needs an image, and paths are relative to the file", () => {
    expect(refused("{}")).toEqual([expect.stringContaining("sidecar")]);
    const loaded = loadWebhookConfig("tls: { key: a.key }\nsidecar: { image: x }\n", "/etc/sidelane/webhook.yaml", {});
    expect(loaded).toMatchObject({
      ok: true,
      config: {
        address: "0.0.0.0:15443",
        admin: { address: "0.0.0.0:15030" },
        tls: { certificate: "/etc/sidelane/tls/tls.crt", key: "/etc/sidelane/a.key" },
        sidecar: { image: "x", interception: "auto", nativeSidecar: "auto", memoryRequest: "64Mi", scrape: true },
        timeouts: { drainMs: 10_000 },
      },
    });
  });

  test("the environment goes before the file", () => {
    const environment = {
      SIDELANE_WEBHOOK_SIDECAR_IMAGE: "y",
      SIDELANE_WEBHOOK_SERVICE_HOST: "10.0.0.1",
      SIDELANE_WEBHOOK_CONFIG: "f",
    };
    const loaded = loadWebhookConfig("sidecar: { image: x }", "webhook.yaml", environment);
    expect(loaded.ok && loaded.config.sidecar.image).toBe("y");
    expect(refused("sidecar: { image: x }", { SIDELANE_WEBHOOK_SIDECAR_IMAG: "y" })).toEqual([
      "SIDELANE_WEBHOOK_SIDECAR_IMAG: no field of the config has this environment variable, write SIDELANE_WEBHOOK_SIDECAR_IMAGE",
    ]);
  });

  test("says what is wrong, where, and what to write instead", () => {
    const text = `address: here
sidecar:
  image: x
  control: nowhere
  cpuRequest: "2"
  cpuLimit: 500m
  memoryLimit: much
  excludeInboundRanges: [10.0.0.0/40]
`;
    expect(refused(text).join("\n")).toMatchInlineSnapshot(`
      "webhook.yaml:1:10: "here" is not an address, the port is missing, write here:8080
      webhook.yaml:4:12: "nowhere" is not host:port, the port is missing, write nowhere:8080
      webhook.yaml:5:15: cpuRequest is more than cpuLimit (see webhook.yaml:6:13), Kubernetes refuses such pods, raise the limit
      webhook.yaml:7:16: "much" is not a quantity of Kubernetes, write one as 64Mi
      webhook.yaml:8:26: "10.0.0.0/40" is not a range of addresses, behind the / stands a number from 0 to 32, write 10.0.0.0/32, or 10.0.0.0 alone"
    `);
  });

  test("its schema is that of the repository, and takes the example of the page", () => {
    const schema = JSON.parse(
      readFileSync(new URL("../../schema/webhook-config.schema.json", import.meta.url), "utf8"),
    ) as object;
    expect(schema).toMatchObject(webhookConfigJsonSchema());
    const valid = new Ajv({ strict: false }).compile(schema);
    expect(valid({ sidecar: { image: "registry.example/sidelane:0.1.0" } })).toBe(true);
    expect(valid({ sidecar: {} })).toBe(false);
  });
});

test.each([
  ["250m", 0.25],
  ["1", 1],
  ["1.5", 1.5],
  [".5", 0.5],
  ["64Mi", 64 * 2 ** 20],
  ["1e3", 1000],
  ["1E", 1e18],
  ["12E2", 1200],
  ["1k", 1000],
  ["", undefined],
  ["-1", undefined],
  ["1 Mi", undefined],
  ["1K", undefined],
])("the quantity %s", (text, amount) => {
  expect(quantity(text)).toBe(amount);
});
