/** Something found in a Markdown text; the line is 1-based. */
export interface Found {
  readonly line: number;
  readonly text: string;
}

/** The lines outside fenced code, with their numbers; fenced ones are empty. */
function proseLines(markdown: string): string[] {
  let fence = "";
  return markdown.split("\n").map((line) => {
    const mark = /^\s*(`{3,}|~{3,})/.exec(line)?.[1] ?? "";
    if (fence === "" && mark !== "") fence = mark;
    else if (fence === "") return line;
    else if (mark.startsWith(fence)) fence = "";
    return "";
  });
}

/** The content of every fenced block of a language, with the line of its fence. Fences stand at the margin or in a list. */
export function fencedBlocks(markdown: string, language: string): Found[] {
  return [...markdown.matchAll(/^( *)(`{3,})(\S*)\n([^]*?)^\1\2$/gm)]
    .filter(([, , , info]) => info === language)
    .map((block) => ({ line: markdown.slice(0, block.index).split("\n").length, text: block[4] ?? "" }));
}

/** Every inline code span. */
export function codeSpans(markdown: string): Found[] {
  return findAll(proseLines(markdown), /(?<!`)`([^`]+)`(?!`)/g);
}

/** The target of every inline link, image and reference definition, as written. */
export function links(markdown: string): Found[] {
  const lines = proseLines(markdown).map((line) => line.replaceAll(/(?<!`)`[^`]+`(?!`)/g, "code"));
  return [
    ...findAll(lines, /\]\(\s*<?([^()\s>]+)>?(?:\s+"[^"]*")?\s*\)/g),
    ...findAll(lines, /^\s*\[[^\]]+\]:\s*<?([^\s>]+)>?/g),
  ];
}

/** The anchors of the headings, made the way that GitHub makes them, and those set by hand. */
export function anchors(markdown: string): Set<string> {
  const seen = new Map<string, number>();
  const found = new Set<string>();
  for (const line of proseLines(markdown)) {
    for (const [, id = ""] of line.matchAll(/<a (?:id|name)="([^"]+)"/g)) found.add(id);
    const heading = /^#{1,6}\s+(.*?)\s*#*$/.exec(line)?.[1];
    if (heading === undefined) continue;
    const slug = slugOf(heading);
    const times = seen.get(slug) ?? 0;
    seen.set(slug, times + 1);
    found.add(times === 0 ? slug : `${slug}-${times}`);
  }
  return found;
}

function slugOf(heading: string): string {
  return heading
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\p{M}_\- ]/gu, "")
    .replaceAll(" ", "-");
}

function findAll(lines: readonly string[], pattern: RegExp): Found[] {
  return lines.flatMap((line, index) =>
    [...line.matchAll(pattern)].map((match) => ({ line: index + 1, text: match[1] ?? "" })),
  );
}
