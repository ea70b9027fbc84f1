/** Ports of the app in a pod, by what it speaks there. */
export const ports = { http: 8080, h2: 8081, grpc: 9090, tcp: 6379, excluded: 7070, udp: 8080 } as const;
