// The text format of Prometheus read back, for the tests of this folder.

/** One sample. */
export interface Line {
  readonly name: string;
  readonly labels: Record<string, string>;
  readonly value: number;
}
/** All samples of one metric. */
export interface Family {
  readonly type: string;
  readonly help: string;
  readonly lines: Line[];
}

/** Reads the text format strictly: throws for a line that is no comment and no sample. */
export function parse(text: string): Map<string, Family> {
  const families = new Map<string, Family>();
  let current: Family = { type: "", help: "", lines: [] };
  let help = "";
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const comment = /^# (HELP|TYPE) (\w+) (.*)$/.exec(line);
    if (comment?.[1] === "HELP") help = comment[3] ?? "";
    else if (comment?.[1] === "TYPE") {
      current = { type: comment[3] ?? "", help, lines: [] };
      families.set(comment[2] ?? "", current);
    } else {
      const sample = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line);
      if (sample === null) throw new Error(`not a sample: ${line}`);
      const pairs = [...(sample[2] ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"(?:,|$)/g)];
      const labels = Object.fromEntries(pairs.map(([, name, value]) => [name, value ?? ""])) as Record<string, string>;
      current.lines.push({ name: sample[1] ?? "", labels, value: Number(sample[3]) });
    }
  }
  return families;
}
