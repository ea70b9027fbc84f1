// `npm run build`: src/ -> dist/, plain JavaScript for the package and the image.
//
// Types are only stripped and `.ts` in imports becomes `.js` (rewriteRelativeImportExtensions), so dist/ has the
// layout of src/ and a stack trace reads the same. dist/ is rebuilt from nothing: a file deleted from src/ never lives on.
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { delimiter, join, relative, sep } from "node:path";

const root = join(import.meta.dirname, "..");
const source = join(root, "src");
const target = join(root, "dist");

process.exitCode = build();

function build(): number {
  rmSync(target, { recursive: true, force: true });
  const compiler = spawnSync("tsc", ["-p", "tsconfig.build.json", "--noEmitOnError"], {
    cwd: root,
    stdio: "inherit",
    env: { ...process.env, PATH: join(root, "node_modules", ".bin") + delimiter + (process.env["PATH"] ?? "") },
    shell: process.platform === "win32",
  });
  if (compiler.status !== 0) {
    console.error(`build: tsc failed (${compiler.error?.message ?? `exit code ${compiler.status}`}); see above`);
    return 1;
  }
  const assets = copyAssets();
  makeExecutable(join(target, "main.js"));
  console.log(`build: ${filesOf(target).length} files in dist/, ${assets} of them assets`);
  return 0;
}

/** What the code reads at run time besides code: pages, templates. Everything under src/ that is not TypeScript. */
function copyAssets(): number {
  const assets = filesOf(source).filter((file) => !file.endsWith(".ts"));
  for (const file of assets) cpSync(join(source, file), join(target, file));
  return assets.length;
}

function makeExecutable(file: string): void {
  // Without a shebang the file is not a program of its own, and an executable bit would only promise too much.
  if (existsSync(file) && readFileSync(file, "utf8").startsWith("#!")) chmodSync(file, 0o755);
}

/** The files below `folder`, relative to it, sorted; test fixtures (`__*__` folders of Vitest) are no part of the product. */
function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .filter((file) => !file.split(sep).some((part) => part.startsWith("__")))
    .toSorted();
}
