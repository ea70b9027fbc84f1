// One stream of the table feed: a sidecar's process, from its first byte until it is gone. Guarantees:
//
// - At most one message is on its way to the socket. Everything else that the sidecar has to know is made when that one has gone
//   out, from the state of that moment.
// - The next change is sent when the sidecar has handled the one before, or has not within `appliedMs`: what comes meanwhile is one
//   change then. A slow sidecar gets fewer and larger ones, and so do all when there are too many for the machine.
// - A stream that takes nothing for `slowMs` is ended, whatever its peer does.
// - Nothing that a peer sends does more than end its own stream.

import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { Log } from "../../base/log.ts";
import { decodeFromSidecar, encodeFromControl } from "../../feed/codec.ts";
import type { FromSidecar, Hello, QuestionBody } from "../../feed/messages.ts";
import { type Authority, type Identification, mayFollow } from "../auth.ts";
import type { Channel, Parcel } from "./channel.ts";
import type { Distributor, Follower } from "./distributor.ts";
import type { FeedStats } from "./feed-stats.ts";
import { helloProblem } from "./hello.ts";
import { bearerOf, certificateNameOf } from "./shown-credentials.ts";
import type { Membership, SidecarStream, Sidecars } from "./sidecars.ts";
import type { StreamTimes } from "./stream-times.ts";

export type Call = ServerDuplexStream<Buffer, Buffer>;

/** What all streams of a server share. */
export interface StreamDeps {
  readonly distributor: Distributor;
  readonly sidecars: Sidecars;
  readonly auth: Authority;
  readonly stats: FeedStats;
  readonly log: Log;
  readonly times: StreamTimes;
  /** Takes the connection away under a stream that does not end by itself. */
  readonly destroy: (peer: string) => void;
  /** The stream is gone. */
  readonly gone: (stream: FeedStream) => void;
}

/** Per second; a sidecar sends a few. */
const MESSAGES_MAX = 1000;

interface Question {
  readonly id: number;
  readonly withinMs: number;
  readonly question: QuestionBody;
  readonly askedAt: number;
}

/** How a stream ended; a label of metrics. */
export type End = keyof FeedStats["ends"];

export class FeedStream implements Follower, SidecarStream {
  readonly #call: Call;
  readonly #deps: StreamDeps;
  /** The other end of its connection. */
  readonly #peer: string;
  readonly #bearer: string | undefined;
  readonly #certificateName: string | undefined;
  #identity = "";
  #authoriseAt: number;
  #hello: Hello | undefined;
  #channel: Channel<Follower> | undefined;
  #membership: Membership | undefined;
  #sentRevision = -1;
  /** What it wanted already when it came. */
  #joinRevision = 0;
  /** It has not been sent anything yet. */
  #greets = false;
  #parcel: Parcel | undefined;
  /** Of the parcel: the next message. */
  #next = 0;
  readonly #questions: Question[] = [];
  #farewell: Buffer | undefined;
  /** Since when a message is on its way to the socket; 0: none is. */
  #writingSince = 0;
  /** A change that was sent and is not acknowledged, and since when; 0: none. */
  #unappliedRevision = 0;
  #unappliedSince = 0;
  /** In this second. */
  #received = 0;
  #ended = false;
  #helloTimer: NodeJS.Timeout | undefined;
  #aheadTimer: NodeJS.Timeout | undefined;
  #endTimer: NodeJS.Timeout | undefined;

  constructor(call: Call, deps: StreamDeps) {
    this.#call = call;
    this.#deps = deps;
    this.#authoriseAt = performance.now() + deps.times.authoriseMs;
    this.#peer = call.getPeer();
    this.#bearer = bearerOf(call);
    this.#certificateName = certificateNameOf(call);
    call.on("end", () => this.#end("closed"));
    call.on("cancelled", () => this.#closed());
    call.on("close", () => this.#closed());
    const identified = this.#identify();
    if (identified instanceof Promise) void identified.then((identity) => this.#begin(identity));
    else this.#begin(identified);
  }

  /** Nothing is read before it is known who sends it. */
  #begin(identity: Identification): void {
    const call = this.#call;
    const deps = this.#deps;
    call.on("data", (bytes: Buffer) => this.#receive(bytes));
    if (!this.#authorised(identity)) return;
    this.#helloTimer = setTimeout(() => {
      const { helloMs } = deps.times;
      this.#refuse(status.DEADLINE_EXCEEDED, `no hello within ${helloMs} ms; it has to be the first message`);
    }, deps.times.helloMs);
  }

  get sentRevision(): number {
    return this.#sentRevision;
  }

  get wantedRevision(): number {
    return Math.max(this.#joinRevision, this.#channel?.lastChange ?? 0);
  }

  /** Its turn to write one message. */
  advance(): void {
    if (this.#ended || this.#writingSince !== 0 || this.#channel === undefined) return;
    const question = this.#takeQuestion();
    if (question !== undefined) return this.#write(question);
    const { distributor, stats } = this.#deps;
    const due = this.#greets || this.#sentRevision < distributor.revision;
    if (this.#parcel === undefined && due && this.#unappliedRevision === 0) this.#take(this.#channel);
    if (this.#parcel === undefined) return this.#leaveIfAsked();
    const { messages, revision, concerns } = this.#parcel;
    const message = messages[this.#next++];
    if (this.#next >= messages.length) {
      this.#parcel = undefined;
      this.#sentRevision = revision;
      if (concerns) this.#awaitApplied(revision);
    }
    if (concerns) stats.updatesSent++;
    else stats.emptyUpdatesSent++;
    if (message !== undefined) this.#write(message);
  }

  restart(): void {
    this.#parcel = undefined;
    this.#unappliedRevision = 0;
    this.#sentRevision = -1;
    this.#joinRevision = this.#deps.distributor.revision;
    this.#membership?.restarted();
  }

  ask(id: number, withinMs: number, question: QuestionBody): void {
    this.#questions.push({ id, withinMs, question, askedAt: performance.now() });
    this.#deps.distributor.wake(this);
  }

  replaced(): void {
    this.#fail("replaced", status.ABORTED, "the same process has opened another stream");
  }

  /** Asks the sidecar to go, after what it is behind by has been sent, and to come again that much later. */
  sendAway(afterMs: number): void {
    if (this.#channel === undefined) return this.#end("shutdown");
    this.#farewell = encodeFromControl({ kind: "reconnect", afterMs });
    this.#unappliedRevision = 0;
    this.#deps.distributor.wake(this);
  }

  /** Ends it now, without a word. */
  destroy(): void {
    this.#end("shutdown");
    this.#deps.destroy(this.#peer);
  }

  /** A few times a second. */
  tick(nowMs: number): void {
    const { slowMs, appliedMs, authoriseMs } = this.#deps.times;
    if (nowMs > this.#authoriseAt) {
      this.#authoriseAt = nowMs + authoriseMs;
      const identified = this.#identify();
      if (identified instanceof Promise) void identified.then((identity) => this.#authorised(identity));
      else this.#authorised(identified);
    }
    if (this.#unappliedRevision !== 0 && nowMs - this.#unappliedSince >= appliedMs) this.#handled();
    if (this.#writingSince === 0 || nowMs - this.#writingSince < slowMs) return;
    this.#deps.log.warn("a sidecar takes nothing; its stream is ended", { ...this.#fields(), slowMs });
    this.#end("slow");
    this.#deps.destroy(this.#peer);
  }

  /** Once a second. */
  newSecond(): void {
    this.#received = 0;
  }

  #identify(): Identification | Promise<Identification> {
    const address = this.#peer.replace(/:\d+$/u, "");
    return this.#deps.auth.identify(this.#bearer, this.#certificateName, address);
  }

  /** Refuses when the credentials are not good (any more): tokens are taken back while streams last. */
  #authorised(identity: Identification): boolean {
    if (this.#ended) return false;
    if ("refused" in identity) {
      const { refused, because } = identity;
      // Its token had its time and it has a newer one by now: it is asked to come with that, and nobody counts as behind.
      if (because === "expired" && this.#hello !== undefined) this.sendAway(0);
      else this.#refuse(because === "unavailable" ? status.UNAVAILABLE : status.UNAUTHENTICATED, refused);
      return false;
    }
    const { name, role } = identity;
    this.#identity = name;
    if (mayFollow(role)) return true;
    // What a sidecar tells is believed: it holds up others, and keeps sandboxes alive.
    this.#refuse(
      status.PERMISSION_DENIED,
      `${name} has the role ${role}, which may read but not follow the table; give the sidecar a token with the role sidecar`,
    );
    return false;
  }

  #receive(bytes: Buffer): void {
    if (this.#ended) return;
    if (++this.#received > MESSAGES_MAX) {
      return this.#refuse(status.RESOURCE_EXHAUSTED, `more than ${MESSAGES_MAX} messages in a second`);
    }
    let message: FromSidecar;
    try {
      message = decodeFromSidecar(bytes);
    } catch {
      return this.#refuse(status.INVALID_ARGUMENT, "not a FromSidecar message of sidelane.feed.v1");
    }
    if (this.#membership === undefined) return this.#greet(message);
    switch (message.kind) {
      case "hello":
        return this.#refuse(status.INVALID_ARGUMENT, "a second hello; it is sent once, as the first message");
      case "applied":
        this.#deps.stats.applied++;
        if (message.applied.error !== "") this.#deps.stats.refusedTables++;
        this.#membership.applied(message.applied);
        if (message.applied.revision >= this.#unappliedRevision) this.#handled();
        return;
      case "activity":
        return this.#membership.activity(message.activity);
      case "answer":
        return this.#membership.answered(message.id, message.answer);
      case "goodbye":
        return this.#end("goodbye");
      case "unknown":
    }
  }

  #greet(message: FromSidecar): void {
    if (message.kind !== "hello") {
      return this.#refuse(status.INVALID_ARGUMENT, "the first message of a stream has to be a hello");
    }
    const { hello } = message;
    const problem = helloProblem(hello);
    if (problem !== undefined) return this.#refuse(status.INVALID_ARGUMENT, problem);
    clearTimeout(this.#helloTimer);
    const { distributor, sidecars, stats, log } = this.#deps;
    this.#hello = hello;
    const ahead = hello.source === distributor.source && hello.revision > distributor.revision;
    const resumes = ahead || distributor.reaches(hello.source, hello.revision);
    if (resumes) stats.resumed++;
    this.#sentRevision = resumes ? hello.revision : -1;
    // Not current before it is known whether anything that it sees has changed.
    this.#joinRevision = distributor.revision;
    this.#channel = distributor.follow(this, hello.scope);
    // Even when there is nothing to tell: the sidecar learns that it may go on from its table.
    this.#greets = !ahead;
    if (ahead) this.#awaitRevision(hello.revision);
    this.#membership = sidecars.join(hello, resumes ? hello.revision : 0, this);
    distributor.wake(this);
    log.debug("a sidecar follows", { ...this.#fields(), resumes });
  }

  #awaitApplied(revision: number): void {
    this.#unappliedRevision = revision;
    this.#unappliedSince = performance.now();
  }

  /** The next change may be sent. */
  #handled(): void {
    if (this.#unappliedRevision === 0) return;
    this.#unappliedRevision = 0;
    if (this.#hasMore()) this.#deps.distributor.wake(this);
  }

  /**
   * Gives this replica the time to hear of the revision that the sidecar has already. If it has not by then, and does hear of what
   * is committed, there is no such revision any more: the store was restored from a backup.
   */
  #awaitRevision(revision: number): void {
    const { distributor, times } = this.#deps;
    this.#aheadTimer = setTimeout(() => {
      if (distributor.revision >= revision || this.#ended) return;
      if (!distributor.hearsOfCommits) return this.#awaitRevision(revision);
      this.restart();
      distributor.wake(this);
    }, times.aheadMs);
  }

  #take(channel: Channel<Follower>): void {
    const parcel = this.#deps.distributor.parcel(channel, this.#sentRevision);
    this.#parcel = parcel;
    this.#next = 0;
    if (parcel.whole) this.#deps.stats.wholeTables++;
    if (this.#greets) this.#joinRevision = parcel.concerns ? parcel.revision : this.#sentRevision;
    this.#greets = false;
  }

  /** The oldest question that still is of use, as a message. */
  #takeQuestion(): Buffer | undefined {
    for (;;) {
      const question = this.#questions.shift();
      if (question === undefined) return undefined;
      const withinMs = Math.floor(question.withinMs - (performance.now() - question.askedAt));
      if (withinMs > 0)
        return encodeFromControl({ kind: "question", id: question.id, withinMs, question: question.question });
    }
  }

  #write(message: Buffer): void {
    const { stats } = this.#deps;
    this.#writingSince = performance.now();
    stats.bytesSent += message.length;
    this.#call.write(message, () => {
      this.#writingSince = 0;
      if (this.#ended) return;
      if (this.#hasMore()) this.#deps.distributor.wake(this);
    });
  }

  #hasMore(): boolean {
    if (this.#parcel !== undefined || this.#questions.length > 0 || this.#farewell !== undefined) return true;
    return this.#sentRevision < (this.#channel?.lastChange ?? 0) || this.#sentRevision === -1;
  }

  #leaveIfAsked(): void {
    const farewell = this.#farewell;
    if (farewell === undefined) return;
    this.#farewell = undefined;
    this.#call.write(farewell);
    this.#end("shutdown");
  }

  #refuse(code: status, details: string): void {
    this.#fail("refused", code, details);
  }

  #fail(end: End, code: status, details: string): void {
    if (this.#ended) return;
    if (end === "refused") this.#deps.log.warn("a sidecar's stream is refused", { ...this.#fields(), why: details });
    this.#end(end, { code, details });
  }

  /** Leaves everything, and tells the peer. The connection is taken away if that takes long. */
  #end(end: End, why?: { readonly code: status; readonly details: string }): void {
    if (this.#ended) return;
    this.#leave(end);
    if (why === undefined) this.#call.end();
    else this.#call.emit("error", why);
    this.#endTimer = setTimeout(() => this.#deps.destroy(this.#peer), this.#deps.times.endMs);
  }

  #leave(end: End): void {
    this.#ended = true;
    clearTimeout(this.#helloTimer);
    clearTimeout(this.#aheadTimer);
    this.#deps.stats.ends[end]++;
    this.#deps.distributor.leave(this);
    this.#membership?.left(end === "goodbye");
    this.#questions.length = 0;
    this.#parcel = undefined;
  }

  /** Nothing can be sent or received any more. */
  #closed(): void {
    if (!this.#ended) this.#leave("closed");
    clearTimeout(this.#endTimer);
    this.#deps.gone(this);
  }

  #fields() {
    const { instance = "", service = "", sandbox = "", host = "" } = this.#hello ?? {};
    return { service, sandbox, host, instance, peer: this.#peer, identity: this.#identity };
  }
}
