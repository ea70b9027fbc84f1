// Requests that ask to switch protocols, and answers that do.

/** Such a request. `lines`: further field lines. */
export function upgradeRequest(path = "/", protocols = "websocket", ...lines: readonly string[]): string {
  const all = ["Host: checkout", "Connection: Upgrade", `Upgrade: ${protocols}`, ...lines];
  return `GET ${path} HTTP/1.1\r\n${all.map((line) => `${line}\r\n`).join("")}\r\n`;
}

/** The head of such an answer. */
export function switching(protocol = "websocket"): string {
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${protocol}\r\nConnection: Upgrade\r\n\r\n`;
}
