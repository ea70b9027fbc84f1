// Requests one after the other while something happens, each on a connection of its own.
import { setTimeout as pause } from "node:timers/promises";
import { type Said, ask } from "./world.ts";

/** Between two requests: what they watch needs the machine too. */
const PAUSE_MS = 20;

export interface Traffic {
  /** The last exchange ends; then what failed (not 200, or the next service's answer is missing), and which versions of it answered. */
  stop(): Promise<TrafficReport>;
}

export interface TrafficReport {
  readonly asked: number;
  readonly failures: readonly string[];
  readonly versions: readonly string[];
}

/** Asks `echo` at an address, which asks its next service. */
export function startTraffic(address: string, headers: Readonly<Record<string, string>> = {}): Traffic {
  let asking = true;
  let asked = 0;
  const failures: string[] = [];
  const versions = new Set<string>();
  const ended = (async () => {
    while (asking) {
      const { status, text } = await ask(address, "/", headers);
      asked += 1;
      const version = status === 200 ? (JSON.parse(text) as Said).next?.version : undefined;
      if (version === undefined) failures.push(`${new Date().toISOString()} ${status} ${text}`);
      else versions.add(version);
      await pause(PAUSE_MS);
    }
  })();
  return {
    stop: async () => {
      asking = false;
      await ended;
      return { asked, failures, versions: [...versions].toSorted((a, b) => a.localeCompare(b)) };
    },
  };
}
