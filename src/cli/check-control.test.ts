import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { check } from "./check.ts";

async function checked(text: string): Promise<readonly [code: number, lines: string]> {
  const folder = await mkdtemp(join(tmpdir(), "sidelane-check-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  const file = join(folder, "control.yaml");
  await writeFile(file, text);
  let lines = "";
  const write = vi.spyOn(process.stdout, "write").mockImplementation((chunk) => {
    lines += String(chunk);
    return true;
  });
  const code = await check([file]);
  write.mockRestore();
  return [code, lines.replaceAll(`${folder}/`, "")];
}

test("check knows control configs", async () => {
  expect(await checked("store: file:./data\n")).toEqual([0, "control.yaml: control config, store file: good\n"]);
});

test("and says what is wrong with them and with the files that they name", async () => {
  expect(await checked("api: { adress: x }\n")).toEqual([
    1,
    'control.yaml:1:8: unknown field "adress" in api, write address\n',
  ]);
  expect(await checked("auth: { tokens: ./tokens.yaml }\n")).toEqual([
    1,
    "control.yaml:1:17: auth.tokens: tokens.yaml does not exist, check the path\n",
  ]);
});

test("an open address is worth a warning", async () => {
  const [code, lines] = await checked('api: { address: "0.0.0.0:15020" }\nauth: none\n');
  expect(code).toBe(0);
  expect(lines).toContain("control.yaml:1:17: warning: the API listens on 0.0.0.0:15020");
});
