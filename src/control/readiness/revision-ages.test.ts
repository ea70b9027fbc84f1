import { expect, test } from "vitest";
import { RevisionAges } from "./revision-ages.ts";

test("a revision is as old as it, or the next one that was heard of, is known here", () => {
  let nowMs = 0;
  const ages = new RevisionAges(() => nowMs);
  expect(ages.ageMs(1)).toBe(0);
  ages.heard(5);
  nowMs = 100;
  ages.heard(8);
  nowMs = 150;
  expect([1, 5, 6, 8, 9].map((revision) => ages.ageMs(revision))).toEqual([150, 150, 50, 50, 0]);
});

test("of very many revisions the last are remembered", () => {
  let nowMs = 0;
  const ages = new RevisionAges(() => nowMs);
  for (let revision = 1; revision <= 10_000; revision++) {
    nowMs = revision;
    ages.heard(revision);
  }
  expect(ages.ageMs(9990)).toBe(10);
  expect(ages.ageMs(1)).toBeGreaterThan(4000);
});
