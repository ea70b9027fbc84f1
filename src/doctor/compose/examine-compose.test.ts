import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { Findings } from "../finding.ts";
import { readComposeFiles } from "./compose-file.ts";
import { examineCompose } from "./examine-compose.ts";

const sidecar = `listeners: [{ direction: inbound, address: "0.0.0.0:8080" }]\ntable: { control: "control:15021" }\n`;
const control = `store: file:/var/lib/sidelane/control\napi: { address: "0.0.0.0:15020" }\nfeed: { address: "0.0.0.0:15021" }\nauth: none\n`;
const good = `
x-sidecar: &sidecar
  image: sidelane
  command: [proxy, --config, /etc/sidelane/sidecar.yaml]
  volumes: [./config:/etc/sidelane:ro, tables:/var/lib/sidelane]
services:
  shop:
    <<: *sidecar
    environment: { SIDELANE_SERVICE: shop, SIDELANE_LISTENERS_0_TARGET: "shop-app:8080" }
  shop-app: { image: shop }
  control:
    image: sidelane
    command: [control, --config, /etc/sidelane/control.yaml]
    volumes: [./config:/etc/sidelane:ro, store:/var/lib/sidelane]
`;

/** What the doctor says of a folder with these files: level and sentence. */
function examine(compose: string, files: Readonly<Record<string, string>> = {}): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), "sidelane-doctor-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  const all = { "config/sidecar.yaml": sidecar, "config/control.yaml": control, ...files, "compose.yaml": compose };
  for (const [name, text] of Object.entries(all)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const findings = new Findings();
  examineCompose("compose.yaml", readComposeFiles([join(folder, "compose.yaml")], {}), findings);
  return findings.all.map(({ level, subject, message, advice }) =>
    `${level} ${subject}: ${message} -> ${advice}`.replaceAll(folder, "FOLDER"),
  );
}

function wrong(compose: string, files: Readonly<Record<string, string>> = {}): readonly string[] {
  return examine(compose, files).filter((line) => !line.startsWith("good") && !/asks nobody|without TLS/u.test(line));
}

describe("a compose set-up", () => {
  test("that works is told what was understood", () => {
    expect(examine(good)).toEqual([
      expect.stringContaining("asks nobody who they are"),
      "good compose.yaml: control: control plane, store file -> ",
      expect.stringContaining("without TLS"),
      "good compose.yaml: shop: sidecar of shop in front of shop-app:8080, table: control plane control:15021 -> ",
    ]);
  });

  test("of this project has nothing wrong", () => {
    const folder = join(import.meta.dirname, "../../../deploy/compose");
    const findings = new Findings();
    const files = ["compose.yaml", "sandbox.yaml"].map((file) => join(folder, file));
    examineCompose("compose.yaml", readComposeFiles(files, {}), findings);
    expect(findings.all.filter(({ level }) => level === "error")).toEqual([]);
    expect(findings.all.filter(({ level }) => level === "good")).toHaveLength(5);
  });

  test.each([
    ["no sidecar at all", "services: { shop: { image: shop } }", "no service has the command proxy"],
    ["a target that is nobody", good.replace("shop-app:8080", "shop-ap:8080"), "no service here is called shop-ap"],
    ["a target that is the sidecar itself", good.replace("shop-app:8080", "shop:8080"), "is the sidecar itself"],
    [
      "a target on loopback without a shared network",
      good.replace("shop-app:8080", "127.0.0.1:9"),
      "no service shares its network",
    ],
    [
      "two of one name",
      good.replace("{ image: shop }", "{ image: shop, networks: { default: { aliases: [shop] } } }"),
      "both called shop",
    ],
    [
      "no common network",
      good.replace("{ image: shop }", "{ image: shop, networks: [other] }"),
      "shares no network with shop-app",
    ],
    [
      "a published app",
      good.replace("{ image: shop }", '{ image: shop, ports: ["8080:8080"] }'),
      "publishes 8080:8080",
    ],
    [
      "a config that is not mounted",
      good.replace("./config:/etc/sidelane:ro, tables", "tables"),
      "/etc/sidelane/sidecar.yaml is not mounted",
    ],
    ["a config that is not there", good.replace("sidecar.yaml", "sidecars.yaml"), "that does not exist"],
    ["tables that are lost", good.replace(", tables:/var/lib/sidelane", ""), "has no table to start from"],
    ["a store that is lost", good.replace(", store:/var/lib/sidelane", ""), "gone with the container"],
  ])("%s", (_name, compose, sentence) => {
    expect(wrong(compose)).toEqual([expect.stringContaining(sentence)]);
  });

  test.each([
    ["a field that does not exist", { "config/sidecar.yaml": `${sidecar}tenant: {}\n` }, "tenant"],
    [
      "another port of the feed",
      { "config/sidecar.yaml": sidecar.replace("15021", "15020") },
      "the feed there listens on 15021",
    ],
    [
      "another control plane",
      { "config/sidecar.yaml": sidecar.replace("control:15", "controll:15") },
      "no service here is called controll",
    ],
    [
      "an app as control plane",
      { "config/sidecar.yaml": sidecar.replace("control:15", "shop-app:15") },
      "shop-app runs no control plane",
    ],
    [
      "a feed on loopback",
      { "config/control.yaml": control.replace("0.0.0.0:15021", "127.0.0.1:15021") },
      "which no other container reaches",
    ],
    [
      "a table that is not mounted",
      { "config/sidecar.yaml": sidecar.replace('control: "control:15021"', "file: /tables/routes.yaml") },
      "/tables/routes.yaml is not mounted",
    ],
  ])("%s in its files", (_name, files, sentence) => {
    expect(wrong(good, files as Readonly<Record<string, string>>)).toEqual([expect.stringContaining(sentence)]);
  });

  test("variables are filled in as Compose does", () => {
    const [service] = (() => {
      const folder = mkdtempSync(join(tmpdir(), "sidelane-doctor-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const file = join(folder, "compose.yaml");
      writeFileSync(file, 'services: { a: { command: "proxy $$x ${A} ${B:-b} ${C-c} $D" } }\n');
      return readComposeFiles([file], { A: "1", B: "", C: "", D: "4" });
    })();
    expect(service?.command).toEqual(["proxy", "$x", "1", "b", "4"]);
  });

  test.each([
    ["no file", undefined, "cannot be read"],
    ["no YAML", "services: [", "is no YAML"],
    ["no services", "a: 1", "has no 'services'"],
  ])("%s: says so", (_name, text, sentence) => {
    const folder = mkdtempSync(join(tmpdir(), "sidelane-doctor-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "compose.yaml");
    if (text !== undefined) writeFileSync(file, text);
    expect(() => readComposeFiles([file], {})).toThrow(sentence);
  });
});
