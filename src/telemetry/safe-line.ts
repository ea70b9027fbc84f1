// What JSON leaves as it is although a terminal or a line reader may act on it: DEL and the C1 controls (0x9B starts
// an escape sequence), the two Unicode line ends.
const UNSAFE = /[\u007f-\u009f\u2028\u2029]/g;

/**
 * A line of JSON with those characters escaped, so that nothing a peer sends can end a line, forge one or steer a terminal.
 * Works on the whole line: outside of strings JSON has none of them.
 */
export function safeLine(json: string): string {
  return json.replace(UNSAFE, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}
