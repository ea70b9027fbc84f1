// Keeps the certificates of a cluster's Sidelane: authority and serving certificates in Secrets of its own namespace, the authority's
// certificates (never its key) in the webhook configuration and in a ConfigMap of every namespace that sidecars are injected into.
//
// Guarantees: one call of `reconcile` repairs whatever it finds; nothing is written that is right already; two operators at once end
// with one authority, because the Secret is only ever created, or written over the version that was read.

import type { Log } from "../../base/log.ts";
import type { KubeClient } from "../../kube/client.ts";
import { WITH_INJECTION } from "../../kube/injection.ts";
import { isConflict, isNotFound } from "../../kube/kube-error.ts";
import { FIELD_MANAGER, MANAGED_BY_LABEL } from "../../kube/object-names.ts";
import { pathOf } from "../../kube/object.ts";
import type { KubeObject } from "../../kube/object.ts";
import { authorityFromData, authorityStep, authorityToData, bundleOf, takeStep } from "./authority.ts";
import type { AuthorityRecord } from "./authority.ts";
import { certificatesOf } from "./inspect.ts";
import { issueServingData, servingNames, servingStep } from "./serving.ts";

export interface CertificatesOptions {
  readonly client: Pick<KubeClient, "find" | "list" | "create" | "apply" | "patch">;
  /** Where Sidelane itself runs. */
  readonly namespace: string;
  /** Milliseconds since the epoch. */
  readonly clock: () => number;
  readonly log: Log;
  /** Who makes certificates. `external` (cert-manager): only the authority's certificate is handed on. Default `operator`. */
  readonly issuer?: "operator" | "external";
}

/** Name of the Secret with the authority, and of the ConfigMaps with its certificates. */
const AUTHORITY = "sidelane-ca";
const WEBHOOK_CONFIGURATION = "sidelane";
/** Services with a certificate; the Secret is `<service>-tls`. */
const SERVERS = ["sidelane-control", "sidelane-webhook"] as const;

const SECRETS = { apiVersion: "v1", plural: "secrets" };
const CONFIG_MAPS = { apiVersion: "v1", plural: "configmaps" };
const NAMESPACES = { apiVersion: "v1", plural: "namespaces" };
const WEBHOOKS = { apiVersion: "admissionregistration.k8s.io/v1", plural: "mutatingwebhookconfigurations" };

/** Somebody may have deleted or changed what was right: look again at least so often. */
const CHECK_MS = 5 * 60_000;
/** An authority is made, or rolled over, in a few steps; each conflict means that another operator has made one. */
const ATTEMPTS_MAX = 20;

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}

interface WebhookConfiguration extends KubeObject {
  readonly webhooks?: readonly { readonly name: string; readonly clientConfig?: { readonly caBundle?: string } }[];
}

export class Certificates {
  readonly #client: CertificatesOptions["client"];
  readonly #namespace: string;
  readonly #clock: () => number;
  readonly #log: Log;
  readonly #issuer: "operator" | "external";
  #bundle = "";

  constructor({ client, namespace, clock, log, issuer = "operator" }: CertificatesOptions) {
    this.#client = client;
    this.#namespace = namespace;
    this.#clock = clock;
    this.#log = log;
    this.#issuer = issuer;
  }

  /** PEM: what clients of control plane and webhook have to trust; "" before the first `reconcile`. */
  get bundle(): string {
    return this.#bundle;
  }

  /**
   * Repairs and renews everything; call it again after `nextCheckMs` milliseconds. Throws a `KubeError` when the API server cannot be
   * reached or refuses: what was done stays done, and the next call goes on.
   */
  async reconcile(): Promise<{ readonly nextCheckMs: number }> {
    const nextAtMs = this.#issuer === "operator" ? await this.#issue() : await this.#readExternal();
    if (this.#bundle !== "") {
      if (this.#issuer === "operator") await this.#tellApiServer();
      await this.#tellNamespaces();
    }
    return { nextCheckMs: Math.min(CHECK_MS, Math.max(1000, nextAtMs - this.#clock())) };
  }

  /** Writes the ConfigMap into a namespace now: pods that have just been injected wait for it. Nothing before the first `reconcile`. */
  async trust(namespace: string): Promise<void> {
    if (this.#bundle === "") return;
    const object = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: { name: AUTHORITY, namespace, labels: { [MANAGED_BY_LABEL]: FIELD_MANAGER } },
      data: { "ca.crt": this.#bundle },
    };
    const how = { fieldManager: FIELD_MANAGER, force: true };
    try {
      await this.#client.apply(pathOf(CONFIG_MAPS, namespace, AUTHORITY), object, how);
    } catch (error) {
      // It is gone, or going: nothing can be made in it.
      if (!isNotFound(error) && !isTerminating(error)) throw error;
    }
  }

  /** Authority and serving certificates; when the next of them is due. */
  async #issue(): Promise<number> {
    const authority = await this.#authority();
    let nextAtMs = authority.untilMs;
    for (const service of SERVERS) nextAtMs = Math.min(nextAtMs, await this.#serving(service, authority.record));
    this.#bundle = bundleOf(authority.record);
    return nextAtMs;
  }

  /** Takes steps until none is due. */
  async #authority(): Promise<{ readonly record: AuthorityRecord; readonly untilMs: number }> {
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const secret = await this.#read(AUTHORITY);
      const record = authorityFromData(decoded(secret));
      const nowMs = this.#clock();
      const due = authorityStep(record, nowMs);
      if (due.step === "none") return { record, untilMs: due.untilMs };
      const next = await takeStep(record, due, nowMs);
      if (!(await this.#write(AUTHORITY, secret, authorityToData(next)))) continue;
      this.#tellStep(due, record.signing.certificate === "" && record.signing.key === "");
    }
    throw new Error(
      `Secret ${this.#namespace}/${AUTHORITY} is changed by somebody else again and again; who writes it?`,
    );
  }

  #tellStep({ step, ...rest }: { readonly step: string; readonly why?: string }, isFirst: boolean): void {
    const secret = `${this.#namespace}/${AUTHORITY}`;
    const { why } = rest;
    if (isFirst) this.#log.info("made an authority for certificates", { secret });
    else if (why !== undefined) {
      this.#log.error(`Secret ${secret} could not be used, it was made anew: ${why}`, { secret, step });
    } else this.#log.info("rolling over the authority for certificates", { secret, step });
  }

  /** One server's certificate; when it is due. */
  async #serving(service: string, record: AuthorityRecord): Promise<number> {
    const name = `${service}-tls`;
    const names = servingNames(service, this.#namespace);
    const bundle = bundleOf(record);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
      const secret = await this.#read(name);
      const data = decoded(secret);
      const pair = { certificate: data["tls.crt"] ?? "", key: data["tls.key"] ?? "" };
      const due = servingStep(pair, record.signing.certificate, names, this.#clock());
      if (due.step === "none") {
        if (data["ca.crt"] === bundle) return due.untilMs;
        await this.#write(name, secret, { "tls.crt": pair.certificate, "tls.key": pair.key, "ca.crt": bundle });
        continue;
      }
      const made = await issueServingData(record.signing, bundle, names, this.#clock());
      if (!(await this.#write(name, secret, made))) continue;
      const told = { secret: `${this.#namespace}/${name}` };
      if (due.isRepair) this.#log.error(`Secret ${told.secret} could not be used, it was made anew: ${due.why}`, told);
      else this.#log.info(`made a certificate: ${due.why}`, told);
    }
    throw new Error(`Secret ${this.#namespace}/${name} is changed by somebody else again and again; who writes it?`);
  }

  /** What somebody else has made for the control plane; both servers have to have one authority. */
  async #readExternal(): Promise<number> {
    const name = `${SERVERS[0]}-tls`;
    const authorities = certificatesOf(decoded(await this.#read(name))["ca.crt"] ?? "");
    if (authorities.length === 0) {
      this.#log.warn(`Secret ${this.#namespace}/${name} has no authority (ca.crt) yet; is its Certificate ready?`);
      return this.#clock() + 5000;
    }
    this.#bundle = authorities.join("");
    return this.#clock() + CHECK_MS;
  }

  /** Has the API server trust the webhook. */
  async #tellApiServer(): Promise<void> {
    const path = pathOf(WEBHOOKS, undefined, WEBHOOK_CONFIGURATION);
    const configuration = await this.#client.find<WebhookConfiguration>(path);
    if (configuration === undefined) {
      this.#log.warn(
        `MutatingWebhookConfiguration ${WEBHOOK_CONFIGURATION} is not there: no pod gets a sidecar; install the chart again`,
      );
      return;
    }
    const caBundle = Buffer.from(this.#bundle).toString("base64");
    const changes = (configuration.webhooks ?? []).flatMap(({ name, clientConfig }, index) =>
      clientConfig?.caBundle === caBundle
        ? []
        : [
            // By position: the test holds the write off a list that has changed since.
            { op: "test", path: `/webhooks/${index}/name`, value: name },
            { op: "add", path: `/webhooks/${index}/clientConfig/caBundle`, value: caBundle },
          ],
    );
    if (changes.length === 0) return;
    await this.#client.patch(path, changes, "json", { fieldManager: FIELD_MANAGER });
    this.#log.info("the API server trusts the webhook's certificate", { webhooks: changes.length / 2 });
  }

  /** Has sidecars trust the control plane. */
  async #tellNamespaces(): Promise<void> {
    const injected = await this.#client.list(pathOf(NAMESPACES), {
      labelSelector: WITH_INJECTION,
      metadataOnly: true,
    });
    if (injected.items.length === 0) return;
    const { items } = await this.#client.list<Secret>(pathOf(CONFIG_MAPS), {
      fieldSelector: `metadata.name=${AUTHORITY}`,
    });
    const known = new Map(items.map(({ metadata, data }) => [metadata.namespace, data?.["ca.crt"]]));
    for (const { metadata } of injected.items) {
      const { name, deletionTimestamp } = metadata;
      if (name !== undefined && deletionTimestamp === undefined && known.get(name) !== this.#bundle)
        await this.trust(name);
    }
  }

  async #read(name: string): Promise<Secret | undefined> {
    return this.#client.find<Secret>(pathOf(SECRETS, this.#namespace, name));
  }

  /** Writes the whole content over the version that was read; false when there is another by now. */
  async #write(name: string, over: Secret | undefined, data: Readonly<Record<string, string>>): Promise<boolean> {
    const object = {
      apiVersion: "v1",
      kind: "Secret",
      metadata: {
        name,
        namespace: this.#namespace,
        labels: { "app.kubernetes.io/part-of": "sidelane" },
        ...(over === undefined ? {} : { resourceVersion: over.metadata.resourceVersion }),
      },
      // The type of a Secret never changes: what is there may be of another.
      ...(over === undefined ? { type: "Opaque" } : {}),
      data: Object.fromEntries(Object.entries(data).map(([key, text]) => [key, Buffer.from(text).toString("base64")])),
    };
    const how = { fieldManager: FIELD_MANAGER };
    try {
      // Nothing was there: an apply, which names no version then, would also write over what another operator has made since.
      if (over === undefined) await this.#client.create(pathOf(SECRETS, this.#namespace), object, how);
      else await this.#client.apply(pathOf(SECRETS, this.#namespace, name), object, { ...how, force: true });
      return true;
    } catch (error) {
      if (isConflict(error)) return false;
      throw error;
    }
  }
}

function decoded(secret: Secret | undefined): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(secret?.data ?? {}).map(([key, text]) => [key, Buffer.from(text, "base64").toString("utf8")]),
  );
}

/** Of a namespace that is being deleted. */
function isTerminating(error: unknown): boolean {
  return error instanceof Error && "status" in error && error.status === 403 && /being terminated/u.test(error.message);
}
