import type {
  CertificateReport,
  ConnectionsReport,
  EndpointConnections,
  ListenerConnections,
  SigningKeyReport,
} from "../admin/backend.ts";

/** The connections of several workers as one process would report them. */
export function mergeConnections(reports: readonly ConnectionsReport[]): ConnectionsReport {
  const listeners = new Map<string, ListenerConnections>();
  const endpoints = new Map<string, EndpointConnections>();
  const certificates = new Map<string, CertificateReport>();
  const signingKeys = new Map<string, SigningKeyReport>();
  for (const report of reports) {
    for (const next of report.listeners) {
      const sum = listeners.get(next.name);
      if (sum === undefined) listeners.set(next.name, next);
      else {
        const activeRequests = sum.activeRequests + next.activeRequests;
        listeners.set(next.name, { ...sum, open: sum.open + next.open, activeRequests });
      }
    }
    for (const next of report.endpoints) {
      const sum = endpoints.get(next.endpoint);
      endpoints.set(next.endpoint, sum === undefined ? next : addEndpoints(sum, next));
    }
    for (const next of report.certificates) {
      // All read the same files; where one is behind the others, what it has to say is of interest.
      if (certificates.get(next.name)?.error === undefined) certificates.set(next.name, next);
    }
    for (const next of report.signingKeys) {
      if (signingKeys.get(next.id)?.error === undefined) signingKeys.set(next.id, next);
    }
  }
  return {
    listeners: [...listeners.values()],
    endpoints: [...endpoints.values()],
    certificates: [...certificates.values()],
    signingKeys: [...signingKeys.values()],
  };
}

function addEndpoints(a: EndpointConnections, b: EndpointConnections): EndpointConnections {
  return {
    endpoint: a.endpoint,
    idle: a.idle + b.idle,
    active: a.active + b.active,
    connecting: a.connecting + b.connecting,
    waiting: a.waiting + b.waiting,
    outstanding: a.outstanding + b.outstanding,
    // Each worker ejects for itself: the endpoint is out for as long as any of them thinks so.
    ejectedMs: Math.max(a.ejectedMs, b.ejectedMs),
  };
}
