import { posix } from "node:path";
import { anchors, links } from "./markdown.ts";
import type { Lookup } from "./names.ts";

/** What is wrong with the relative links of a page: the file has to exist, and have the anchor. */
export function linkProblems(page: string, markdown: string, project: Lookup): string[] {
  return links(markdown).flatMap(({ line, text }) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(text)) return [];
    const [path = "", anchor = ""] = text.split("#");
    const target = path === "" ? page : posix.join(posix.dirname(page), decodeURIComponent(path));
    if (path.startsWith("/")) return [`${page}:${line}: ${text} starts at a root that differs from viewer to viewer`];
    if (target.startsWith("../")) return [`${page}:${line}: ${text} leads out of the project`];
    if (path !== "" && !project.exists(target)) return [`${page}:${line}: ${text} leads nowhere`];
    if (anchor === "" || !target.endsWith(".md")) return [];
    const known = anchors(path === "" ? markdown : project.read(target));
    return known.has(anchor) ? [] : [`${page}:${line}: ${target} has no heading #${anchor}`];
  });
}
