import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["src/**/*.test.ts", "test/**/*.test.ts"],
    exclude: ["test/peers/**", "node_modules/**"],
    testTimeout: 30_000,
    hookTimeout: 30_000,
    // Integration tests start processes of their own: two workers keep a two-core machine honest.
    maxWorkers: 2,
    pool: "forks",
  },
});
