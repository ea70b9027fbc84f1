// A command that a message or a page tells people to type is one that there is.

import { expect, test } from "vitest";
import { projectFiles, readProjectFile, typeScriptFiles } from "./project.ts";

const rows = [...readProjectFile("docs/commands.md").matchAll(/^\| \[`sidelane ([a-z]+(?: [a-z]+)?)`\]/gmu)];
const commands = new Set(rows.map(([, command = ""]) => command));
/** First words that mean nothing without a second one. */
const nouns = [...new Set([...commands].flatMap((one) => (one.includes(" ") ? [one.split(" ")[0]] : [])))];

/** Where a text has such a command: quoted, in backticks, after a colon or at the start of a line. */
const typed = new RegExp(`(?:["'\`]|^|: )(?:\\$ )?sidelane (${nouns.join("|")}) ([a-z]+)\\b`, "gmu");

test("there are commands of two words", () => {
  expect(nouns).toEqual(expect.arrayContaining(["sandbox", "group", "service", "key"]));
});

test.each([...projectFiles(".", ".md"), ...typeScriptFiles().filter((file) => file.startsWith("src/"))])(
  "%s names commands that there are",
  (file) => {
    const named = [...readProjectFile(file).matchAll(typed)].map(([, noun, verb]) => `${noun} ${verb}`);
    // The last one is made up, by the tests of the parser.
    expect(named.filter((command) => !commands.has(command) && command !== "sandbox frobnicate")).toEqual([]);
  },
);
