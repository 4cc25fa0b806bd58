/** LXD's refusals in our codes. Its own text may name paths of the host, so it only goes to the log. */
import { AppError, type ErrorCode } from "#domain/error.ts";

/** Operations report nearly everything as 400, so the text decides first. Texts are those of LXD 5.0 and Incus 6. */
const byText: readonly (readonly [RegExp, ErrorCode])[] = [
  [
    /database is locked|is busy|busy running|already has .* operation|failed to (acquire|create instance .*operation)|shutting down/i,
    "endpoint_busy",
  ],
  [/already (exists|running|stopped|in progress)|isn't running|not running|is running|already connected/i, "conflict"],
  [/no space left|not enough (memory|space)|exceeds|cannot allocate/i, "no_capacity"],
  [/not found in|image not (found|provided)|instance not found/i, "not_found"],
  [/command not (found|executable)/i, "guest_failed"],
];

const byStatus: Readonly<Record<number, ErrorCode>> = {
  404: "not_found",
  409: "conflict",
  412: "conflict",
  423: "endpoint_busy",
  429: "endpoint_busy",
  503: "endpoint_busy",
};

const messages: Partial<Record<ErrorCode, string>> = {
  endpoint_busy: "The endpoint is busy with this object",
  conflict: "The object at the endpoint is in another state than this needs",
  no_capacity: "The endpoint has no room for this",
  not_found: "The endpoint has no such object",
  guest_failed: "The guest cannot run this program",
};

export function refusalOf(status: number, text: string, what: string): AppError {
  if (status === 403) return untrusted(`${what}: ${text}`);
  const code = byStatus[status] ?? byText.find(([pattern]) => pattern.test(text))?.[1] ?? "endpoint_refused";
  return new AppError(code, messages[code] ?? "The endpoint refused the request", { internal: `${what}: ${status} ${text}` });
}

/** LXD lets nobody in whose certificate it does not know, and restricts others to projects. */
export function untrusted(internal: string): AppError {
  const message = "The endpoint does not let our client certificate do this";
  const detail = [
    {
      constraint: "the endpoint must trust the client certificate, without restriction to projects that are not ours",
      source: "the endpoint's list of trusted certificates",
      nearest: "add the certificate there: lxc config trust add CERTIFICATE",
    },
  ];
  return new AppError("endpoint_refused", message, { detail, internal });
}

/** No answer came, or the connection broke: the work may have been done. */
export function lostError(cause: unknown): AppError {
  return new AppError("endpoint_unreachable", "The endpoint does not answer", { cause, internal: String(cause) });
}
