import { defineConfig } from "vitest/config";

// Suites that need programs beside Node; `npm test` does without them.
export default defineConfig({
  test: {
    include: ["test/tools/**/*.tools.ts"],
    testTimeout: 60_000,
    hookTimeout: 60_000,
    maxWorkers: 1,
    pool: "forks",
  },
});
