// Takes files out of a zip: what setup.ts needs of the format (PKWARE's APPNOTE.TXT 4.3), so that no machine has to have `unzip`.
import { writeFileSync } from "node:fs";
import { crc32, inflateRawSync } from "node:zlib";

const END = 0x06054b50;
const ENTRY = 0x02014b50;

/** Writes the named files of the archive to these paths; throws when one is not there or is damaged. */
export function unzip(zip: Buffer, wanted: Readonly<Record<string, string>>): void {
  const missing = new Map(Object.entries(wanted));
  // The end record is last, behind it at most a comment.
  let end = zip.length - 22;
  while (end >= 0 && zip.readUInt32LE(end) !== END) end--;
  if (end < 0) throw new Error("not a zip: it has no end record");
  let at = zip.readUInt32LE(end + 16);
  for (let count = zip.readUInt16LE(end + 10); count > 0; count--) {
    if (zip.readUInt32LE(at) !== ENTRY) throw new Error(`damaged zip: no entry at byte ${at}`);
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength);
    const path = missing.get(name);
    if (path !== undefined) {
      writeFileSync(path, contentOf(zip, at, name));
      missing.delete(name);
    }
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  if (missing.size > 0) throw new Error(`the zip lacks ${[...missing.keys()].join(", ")}`);
}

function contentOf(zip: Buffer, entry: number, name: string): Buffer {
  const method = zip.readUInt16LE(entry + 10);
  const local = zip.readUInt32LE(entry + 42);
  const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const packed = zip.subarray(start, start + zip.readUInt32LE(entry + 20));
  if (method !== 0 && method !== 8) throw new Error(`${name} is packed by method ${method}, which is not known here`);
  const content = method === 0 ? packed : inflateRawSync(packed);
  if (crc32(content) !== zip.readUInt32LE(entry + 16)) throw new Error(`${name} is damaged`);
  return content;
}
