// As node-http.ts, for the servers that speak TLS.

export const { createServer: createSecureServer } = process.getBuiltinModule("node:https");
