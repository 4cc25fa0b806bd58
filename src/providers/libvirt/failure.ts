/** libvirt's errors and what they mean to us. The text of libvirt goes to `internal`: it names files and hosts of the operator. */
import { AppError, type ErrorCode } from "#domain/error.ts";
import { XdrError, type XdrReader } from "#lib/xdr.ts";

/** `virErrorNumber`, the ones we tell apart. */
export const libvirtCode = {
  internalError: 1,
  noSupport: 3,
  invalidArgument: 8,
  operationFailed: 9,
  systemError: 38,
  noDomain: 42,
  noStoragePool: 49,
  noStorageVolume: 50,
  operationInvalid: 55,
  configUnsupported: 67,
  operationTimeout: 68,
  noDomainSnapshot: 72,
  argumentUnsupported: 74,
  operationUnsupported: 84,
  agentUnresponsive: 86,
  resourceBusy: 87,
  storageVolumeExists: 90,
  agentUnsynced: 97,
} as const;

/** An error reply of libvirtd. Stays inside this folder: the provider's edge turns it into an AppError. */
export class LibvirtFailure extends Error {
  override readonly name = "LibvirtFailure";
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** `remote_error` begins with code, domain and message; the rest repeats what the message says. */
export function decodeFailure(reader: XdrReader): LibvirtFailure {
  const code = reader.int();
  reader.int();
  return new LibvirtFailure(code, reader.optionalString() ?? "no message");
}

export function isFailure(error: unknown, ...codes: readonly number[]): error is LibvirtFailure {
  return error instanceof LibvirtFailure && codes.includes(error.code);
}

function errorCodeOf(code: number): ErrorCode {
  switch (code) {
    case libvirtCode.noDomain:
    case libvirtCode.noStoragePool:
    case libvirtCode.noStorageVolume:
      return "not_found";
    case libvirtCode.noSupport:
    case libvirtCode.argumentUnsupported:
    case libvirtCode.operationUnsupported:
      return "capability_missing";
    case libvirtCode.operationTimeout:
    case libvirtCode.agentUnresponsive:
    case libvirtCode.agentUnsynced:
    case libvirtCode.resourceBusy:
      return "endpoint_busy";
    default:
      return "endpoint_refused";
  }
}

/** `doing` completes the sentence "libvirt could not …". AppErrors and abort reasons pass unchanged. */
export function toAppError(error: unknown, doing: string): unknown {
  if (error instanceof LibvirtFailure) {
    return new AppError(errorCodeOf(error.code), `libvirt could not ${doing}`, {
      cause: error,
      internal: `${error.code}: ${error.message}`,
    });
  }
  if (error instanceof XdrError) {
    return new AppError("endpoint_unreachable", "the endpoint does not speak libvirt's protocol", {
      cause: error,
      internal: error.message,
    });
  }
  return error;
}

/** Runs `work` and gives its libvirt errors our codes. Every public method of the provider goes through here. */
export async function translated<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw toAppError(error, doing);
  }
}
