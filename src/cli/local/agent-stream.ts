/** Long work of an agent: it answers one JSON line a phase, and a last one with the result or the error. */
import { AppError, errorCodes, type ErrorCode, type Refusal } from "#domain/error.ts";
import { unixStream } from "#lib/unix-http.ts";

export interface AgentCall {
  readonly socket: string;
  readonly method: "PUT" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: object;
  readonly timeoutMs: number;
  readonly onPhase: (phase: string) => void;
}

/** The last line. Throws what the agent reports, and `endpoint_unreachable` when it ends without a result. */
export async function agentStream<T extends object>({ onPhase, ...call }: AgentCall): Promise<T> {
  return await unixStream(call, async (response) => {
    let rest = "";
    let last: object | undefined;
    for await (const chunk of response) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop()!;
      for (const line of lines) last = read(line, onPhase) ?? last;
    }
    if (rest.trim() !== "") last = read(rest, onPhase) ?? last;
    if (last === undefined) throw new AppError("endpoint_unreachable", "the agent ended its work without an answer");
    return last as T;
  });
}

/** Undefined for a line of progress. */
function read(line: string, onPhase: (phase: string) => void): object | undefined {
  const message = JSON.parse(line) as { phase?: string; code?: string; error?: Problem };
  if (message.phase !== undefined) return void onPhase(message.phase);
  const problem = message.error ?? (message.code === undefined ? undefined : (message as Problem));
  if (problem === undefined) return message;
  const code = problem.code !== undefined && problem.code in errorCodes ? (problem.code as ErrorCode) : "endpoint_refused";
  throw new AppError(code, problem.message ?? line, { detail: problem.detail ?? [] });
}

interface Problem {
  readonly code?: string;
  readonly message?: string;
  readonly detail?: readonly Refusal[];
}
