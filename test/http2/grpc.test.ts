// gRPC as its own library speaks it: grpc-js on both sides, one sidecar or two between them.
import { createHash } from "node:crypto";
import { type Metadata, status } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { metadataOf } from "../support/grpc.ts";
import { SANDBOX, describeChains, inSandbox } from "../support/grpc-chain.ts";
import { eventually } from "../support/quiet.ts";
import { seededBytes } from "../support/random.ts";
