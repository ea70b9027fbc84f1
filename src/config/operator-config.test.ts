import { expect, test } from "vitest";
import { loadOperatorConfig } from "./operator-config.ts";
import { formatProblem } from "./problem.ts";

const load = (text: string) => loadOperatorConfig(text, "/etc/sidelane/operator.yaml");
const problems = (text: string): string => {
  const loaded = load(text);
  return loaded.ok ? "" : loaded.problems.map(formatProblem).join("\n");
};

test("one URL is enough; paths are relative to the file", () => {
  expect(load("control: { url: 'https://a:15020/,https://b:15020', tokenFile: token }")).toEqual({
    ok: true,
    config: {
      control: { urls: ["https://a:15020", "https://b:15020"], tokenFile: "/etc/sidelane/token" },
      admin: { address: "127.0.0.1:15030" },
      clusterDomain: "cluster.local",
      certificates: "operator",
      log: { level: "info" },
    },
  });
});

test("what is wrong is named with its place", () => {
  expect(problems("control: { url: sidelane-control }")).toContain("/etc/sidelane/operator.yaml:1:");
  expect(problems("control: { url: sidelane-control }")).toContain("is no URL of a control plane");
  expect(problems("control: { url: 'http://user:secret@a' }")).toContain("is no URL");
  expect(problems("control: { uri: http://a }")).toContain("url");
  expect(problems("")).toContain("control");
});
