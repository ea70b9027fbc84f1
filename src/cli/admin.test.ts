import { expect, test } from "vitest";
import { loadConfig } from "../config/load-config.ts";
import { reachTargets } from "./admin.ts";

test("what can be asked about is the app's: targets of inbound listeners, and what the config adds", () => {
  const loaded = loadConfig(
    `service: shop
listeners:
  - { name: a, direction: inbound, address: "*:15100", target: 127.0.0.1:8080 }
  - { name: b, direction: inbound, address: "*:15101", target: 10.1.2.3:9090 }
  - { name: c, direction: outbound, address: localhost:15200 }
table: { file: routes.yaml }
admin: { open: "*:15004", reach: [7070, 9090] }
`,
    "sidelane.yaml",
    {},
  );
  if (!loaded.ok) throw new Error(JSON.stringify(loaded.problems));
  expect(loaded.config.admin).toEqual({ address: "127.0.0.1:15000", open: "*:15004", reach: [7070, 9090] });
  expect([...reachTargets(loaded.config)].toSorted(([a], [b]) => a - b)).toEqual([
    [7070, { host: "127.0.0.1", port: 7070 }],
    [8080, { host: "127.0.0.1", port: 8080 }],
    [9090, { host: "10.1.2.3", port: 9090 }],
  ]);
});

test("ports that nobody can ask about are told of", () => {
  const text = `service: shop
listeners: [{ direction: inbound, address: "*:15100", target: 127.0.0.1:8080 }]
table: { file: routes.yaml }
admin: { reach: [7070] }
`;
  const loaded = loadConfig(text, "sidelane.yaml", {});
  expect(loaded.ok && loaded.warnings.map(({ message, hint }) => `${message}: ${hint}`)).toEqual([
    'admin.reach names ports that nobody can ask about: add open: "*:15004", or remove it',
  ]);
});
