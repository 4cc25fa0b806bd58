/** X.509 certificates for tests, made with nothing but Node: P-256 keys, valid from a day ago for two days. */
import { generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import { isIPv4 } from "node:net";

export interface Certificate {
  /** PEM. */
  readonly cert: string;
  /** PEM, PKCS#8. */
  readonly key: string;
}

interface Issuer extends Certificate {
  readonly commonName: string;
}

export interface CertificateOptions {
  readonly commonName: string;
  /** Host names and IPv4 addresses of a server. */
  readonly names?: readonly string[];
  /** Default: it signs itself. */
  readonly issuer?: Issuer;
  readonly authority?: boolean;
  /** Days from now; default 1. Negative: it has ended. */
  readonly endsInDays?: number;
}

const dayMs = 86_400_000;

export function certificateMake(options: CertificateOptions): Issuer {
  const { commonName, issuer } = options;
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const tbs = toBeSigned(options, publicKey);
  const signature = sign("sha256", tbs, issuer?.key ?? privateKey);
  const der = sequence(tbs, ecdsaWithSha256, tagged(0x03, Buffer.from([0]), signature));
  const lines = der.toString("base64").replaceAll(/.{64}(?=.)/g, "$&\n");
  const cert = `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
  return { commonName, cert, key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

function toBeSigned({ commonName, names = [], issuer, authority = false, endsInDays = 1 }: CertificateOptions, key: KeyObject): Buffer {
  const now = Date.now();
  const extensions = [
    ...(authority ? [extension("551d13", sequence(tagged(0x01, Buffer.from([0xff]))))] : []),
    ...(names.length > 0 ? [extension("551d11", sequence(...names.map(alternativeName)))] : []),
  ];
  return sequence(
    tagged(0xa0, integer(2)),
    tagged(0x02, Buffer.concat([Buffer.from([0x01]), randomBytes(8)])),
    ecdsaWithSha256,
    distinguishedName(issuer?.commonName ?? commonName),
    sequence(time(now + Math.min(-1, endsInDays - 1) * dayMs), time(now + endsInDays * dayMs)),
    distinguishedName(commonName),
    key.export({ type: "spki", format: "der" }),
    ...(extensions.length > 0 ? [tagged(0xa3, sequence(...extensions))] : []),
  );
}

function tagged(tag: number, ...contents: readonly Buffer[]): Buffer {
  const body = Buffer.concat(contents);
  const length = body.length < 128 ? [body.length] : body.length < 256 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 255];
  return Buffer.concat([Buffer.from([tag, ...length]), body]);
}

function sequence(...members: readonly Buffer[]): Buffer {
  return tagged(0x30, ...members);
}

function integer(value: number): Buffer {
  return tagged(0x02, Buffer.from([value]));
}

/** `hex`: the encoded object identifier. */
function identifier(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, "hex"));
}

const ecdsaWithSha256 = sequence(identifier("2a8648ce3d040302"));

function extension(id: string, value: Buffer): Buffer {
  return sequence(identifier(id), tagged(0x04, value));
}

function distinguishedName(commonName: string): Buffer {
  return sequence(tagged(0x31, sequence(identifier("550403"), tagged(0x0c, Buffer.from(commonName)))));
}

function alternativeName(name: string): Buffer {
  return isIPv4(name) ? tagged(0x87, Buffer.from(name.split(".").map(Number))) : tagged(0x82, Buffer.from(name));
}

/** GeneralizedTime, without fractions of a second. */
function time(ms: number): Buffer {
  return tagged(0x18, Buffer.from(`${new Date(ms).toISOString().replaceAll(/[-:T]/g, "").slice(0, 14)}Z`));
}
