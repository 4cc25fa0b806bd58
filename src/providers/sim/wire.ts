/** What goes over the socket of the simulated site. The server parses requests, the clients parse answers; both trust nothing else. */
import { z } from "zod";

const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/);
const segmentName = z.string().regex(/^[a-z][a-z0-9]{0,14}$/);
const port = z.int().min(1).max(65_535);
const address = z.ipv4();

const owner = z.object({ installation: z.string(), vapp: z.string(), object: z.string() });
const image = z.object({ name: z.string(), digest: z.string() });
const kind = z.enum(["vm", "container"]);

const power = z.enum(["running", "stopped", "paused", "crashed", "unknown"]);
const volume = z.object({ name: z.string().regex(/^[a-z][a-z0-9]{0,15}$/), sizeMiB: z.int().min(1) });

export const machineRef = z.object({ name, owner });
export const machineSpec = machineRef.extend({
  kind,
  image,
  vcpus: z.int().min(1),
  memoryMiB: z.int().min(1),
  nics: z.array(
    z.object({
      name: z.string(),
      attachment: z.string(),
      mac: z.string(),
      address,
      prefixLength: z.int(),
      gateway: address.optional(),
    }),
  ),
  volumes: z.array(volume).default([]),
  hostname: z.string(),
  hosts: z.array(z.object({ address, names: z.array(z.string()) })),
});
export const stopRequest = machineRef.extend({ graceMs: z.number().default(0) });
export const snapshotRef = machineRef.extend({ snapshot: z.string().regex(/^[a-z][a-z0-9-]{0,40}$/) });
export const snapshotFacts = z.object({ name: z.string(), createdAt: z.string() });
export const machineFacts = z.object({
  name: z.string(),
  owner: owner.nullable(),
  kind,
  power,
  vcpus: z.number(),
  memoryMiB: z.number(),
  nics: z.array(z.object({ mac: z.string(), attachment: z.string() })),
  volumes: z.array(volume),
  externalId: z.string(),
});
export const inventoryItem = machineFacts.extend({
  description: z.string().nullable(),
  created: z.object({ at: z.string(), source: z.string() }).nullable(),
  ownerGuess: z.object({ who: z.string(), source: z.string() }).nullable(),
});
export const machineEvent = z.object({
  type: z.literal("machine"),
  name: z.string(),
  /** Null: something else about it changed. */
  power: z.enum([...power.options, "removed"]).nullable(),
  reason: z.string(),
});

export const imageRef = image;
export const imageFacts = image.extend({ sizeBytes: z.number() });

export const channelRequest = machineRef.extend({
  argv: z.array(z.string()).min(1),
  stdin: z.string().max(1_048_576).default(""),
  timeoutMs: z.number().default(30_000),
});
export const channelResult = z.object({ exitCode: z.number(), stdout: z.string(), stderr: z.string(), truncated: z.boolean() });

export const segmentRef = z.object({ name: segmentName, owner });
export const segmentSpec = segmentRef.extend({ prefix: z.cidrv4(), gateway: address, isolated: z.boolean() });

export const reachTarget = z.object({ segment: z.string(), address, port: z.coerce.number().pipe(port) });
export const exposureRef = z.object({ name: z.string().min(1).max(63), owner });
export const exposureSpec = exposureRef.extend({ target: reachTarget, port: port.optional() });

/** A scripted fault: the `nth` matching call and the `times - 1` after it are hit. */
export const fault = z.object({
  /** An endpoint's name or `fabric`; absent: any. */
  endpoint: z.string().optional(),
  /** `machineEnsure`, `segmentRemove` ...; `*`: any. */
  operation: z.string(),
  /** Only calls about the object of this name. */
  name: z.string().optional(),
  nth: z.int().min(1).default(1),
  times: z.int().min(1).default(1),
  /** All matching calls from the `nth` on. */
  forever: z.boolean().default(false),
  /** Waits before anything else. */
  delayMs: z.int().min(0).default(0),
  /** Answers this code instead of working. */
  fail: z.string().optional(),
  /** Works, then answers this code: the runaway of the field when it is a creation. */
  failAfter: z.string().optional(),
  /** Works, then drops the connection instead of answering. */
  loseAnswer: z.boolean().default(false),
});

/** What the simulated guest does differently from a healthy one. Forgotten at restart. */
export const guestBehaviour = z.object({
  endpoint: z.string(),
  name: z.string(),
  /** Status of every HTTP answer; default 200. */
  httpStatus: z.int().optional(),
  /** Exit code of /usr/lib/stratiform/apply; default 0. */
  applyExitCode: z.int().optional(),
});

/** A machine somebody else made, with the records an inventory finds. */
export const plantedMachine = z.object({
  endpoint: z.string(),
  name,
  description: z.string().nullable().default(null),
  createdAt: z.iso.datetime().nullable().default(null),
  /** Who its records say owns it. */
  user: z.string().nullable().default(null),
});

/** A size somebody changed with the endpoint's own tools. */
export const machineByHand = z.object({
  endpoint: z.string(),
  name,
  vcpus: z.int().min(1).optional(),
  memoryMiB: z.int().min(1).optional(),
});

/** How an endpoint's events misbehave until told otherwise. Forgotten at restart. */
export const eventFault = z.object({ endpoint: z.string(), delayMs: z.int().min(0).default(0), lose: z.boolean().default(false) });

export type PlantedMachine = z.output<typeof plantedMachine>;
export type MachineByHand = z.output<typeof machineByHand>;
export type EventFault = z.input<typeof eventFault>;
export type MachineSpecWire = z.infer<typeof machineSpec>;
export type MachineRefWire = z.infer<typeof machineRef>;
export type SegmentSpecWire = z.infer<typeof segmentSpec>;
export type ExposureSpecWire = z.infer<typeof exposureSpec>;
export type ReachTargetWire = z.infer<typeof reachTarget>;
export type ChannelRequestWire = z.infer<typeof channelRequest>;
export type Fault = z.input<typeof fault>;
export type GuestBehaviour = z.infer<typeof guestBehaviour>;
