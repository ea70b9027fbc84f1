// `import` of node:http makes Node evaluate every export of it, undici's WebSocket among them: 13 MB that nobody uses.
// Asked for as a builtin, only the HTTP server itself is loaded.

export const { createServer, STATUS_CODES } = process.getBuiltinModule("node:http");
