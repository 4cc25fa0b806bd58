/**
 * How a libvirt endpoint is configured: where its libvirtd is, who we are there, and where disks go. The path of a socket, or a URI as
 * libvirt's own tools take it: `qemu+unix:///system?socket=/run/libvirt/libvirt-sock` or short `qemu+unix:///run/libvirt/libvirt-sock`,
 * `qemu+tls://HOST[:PORT]/system` with certificates, `qemu+tcp://HOST[:PORT]/system` only when somebody says that it may be read and changed on the way.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { z } from "zod";
import { AppError } from "#domain/error.ts";

const pem = (what: RegExp) => z.string().regex(what, "not in PEM form");
const certificate = pem(/-----BEGIN CERTIFICATE-----/);
/** Where libvirtd listens when nobody says otherwise. */
const defaultSocket = "/run/libvirt/libvirt-sock";
const tlsPort = 16_514;
const tcpPort = 16_509;
/** What libvirtd calls the hypervisor driver. */
const systemDriver = "qemu:///system";

export const libvirtConfigSchema = z
  .strictObject({
    /** Path of libvirtd's socket. One that ends in `-ro` gives reading rights only. */
    socket: z.string().startsWith("/").optional(),
    /** Where libvirtd is, instead of `socket`; beside `socket` the name of the driver. */
    uri: z.string().default(systemDriver),
    /** For TLS: the authority that issued the server's certificate, our certificate, and its key. */
    ca: certificate.optional(),
    cert: certificate.optional(),
    key: pem(/-----BEGIN [A-Z ]*PRIVATE KEY-----/).optional(),
    /** Without TLS everybody on the way may read and change what is said: nothing but `true` allows it. */
    insecure: z.boolean().default(false),
    /** Asks for reading rights only; libvirtd then refuses every change. */
    readOnly: z.boolean().default(false),
    /** A folder pool that is made when it is missing; `path` is on the endpoint's host. Not needed where nothing is changed. */
    pool: z.strictObject({ name: z.string().regex(/^[a-z][a-z0-9-]{0,62}$/), path: z.string().startsWith("/") }).optional(),
  })
  .transform(({ socket, uri, ca, cert, key, insecure, readOnly, pool }) => {
    const transport = transportOf({ socket, uri, ca, cert, key, insecure });
    const isReadOnly = readOnly || (transport.type === "unix" && transport.path.endsWith("-ro"));
    if (!isReadOnly && pool === undefined) {
      throw refused("an endpoint that runs machines needs a pool for their disks", "name a pool, or ask for reading rights only");
    }
    return { transport, driver: socket === undefined ? systemDriver : uri, readOnly: isReadOnly, pool: pool ?? null };
  });
export type LibvirtConfig = z.output<typeof libvirtConfigSchema>;

export type Transport =
  | { readonly type: "unix"; readonly path: string }
  | { readonly type: "tcp"; readonly host: string; readonly port: number }
  | {
      readonly type: "tls";
      readonly host: string;
      readonly port: number;
      readonly ca: string;
      readonly cert: string;
      readonly key: string;
    };

interface Where {
  readonly socket: string | undefined;
  readonly uri: string;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly insecure: boolean;
}

function transportOf({ socket, uri, ca, cert, key, insecure }: Where): Transport {
  if (socket !== undefined) return { type: "unix", path: socket };
  const url = URL.parse(uri);
  const host = (url?.hostname ?? "").replaceAll(/^\[|\]$/g, "");
  const port = (standard: number) => (url === null || url.port === "" ? standard : Number(url.port));
  if (url?.protocol === "qemu+unix:" && host === "" && !["", "/", "/system"].includes(url.pathname)) {
    return { type: "unix", path: decodeURIComponent(url.pathname) };
  }
  if (url === null || url.pathname !== "/system") throw refused(`"${uri}" is not where a libvirtd is`, "use qemu+tls://HOST/system");
  switch (url.protocol) {
    case "qemu:":
    case "qemu+unix:":
      if (host !== "") throw refused("a socket is on this machine", "use qemu+tls for another one");
      return { type: "unix", path: url.searchParams.get("socket") ?? defaultSocket };
    case "qemu+tls:": {
      if (ca === undefined || cert === undefined || key === undefined) {
        throw refused("TLS needs the authority's certificate, ours and its key", "give ca, cert and key in PEM form");
      }
      certificateUse(cert, key, ca);
      return { type: "tls", host, port: port(tlsPort), ca, cert, key };
    }
    case "qemu+tcp:":
      if (!insecure)
        throw refused("without TLS everybody on the way may read and change what is said", "use qemu+tls, or say insecure: true");
      return { type: "tcp", host, port: port(tcpPort) };
    default:
      throw refused(`"${url.protocol}" is no way to a libvirtd`, "use qemu+unix, qemu+tls or qemu+tcp");
  }
}

/** Before anybody waits for an answer. */
function certificateUse(cert: string, key: string, ca: string): void {
  let fits: boolean;
  try {
    new X509Certificate(ca);
    fits = new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch (cause) {
    throw refused("certificates and key must be readable: PEM, the key without a passphrase", "give them in that form", cause);
  }
  if (!fits) throw refused("the key must be the one of our certificate", "give the key that belongs to cert");
}

function refused(constraint: string, nearest: string, cause?: unknown): AppError {
  const detail = [{ constraint, source: "configuration of the endpoint", nearest }];
  return new AppError("invalid_input", constraint, { detail, ...(cause === undefined ? {} : { cause }) });
}
