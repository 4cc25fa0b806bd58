import { pino } from "pino";
import type { Log } from "#domain/context.ts";

export type LogLevel = "debug" | "info" | "warn" | "error" | "silent";

/** Structured JSON lines on stderr, so that stdout stays for results. */
export function makeLog(options: { level?: LogLevel; name: string }): Log {
  const logger = pino(
    { name: options.name, level: options.level ?? "info", base: { name: options.name, pid: process.pid } },
    pino.destination({ dest: 2, sync: true }),
  );
  return {
    debug: (fields, message) => logger.debug(fields, message),
    info: (fields, message) => logger.info(fields, message),
    warn: (fields, message) => logger.warn(fields, message),
    error: (fields, message) => logger.error(fields, message),
  };
}

/** For library code under test that has nothing to say. */
export const silentLog: Log = { debug() {}, info() {}, warn() {}, error() {} };

/** The same log with fields that belong to every line. */
export function logWith(log: Log, fields: object): Log {
  return {
    debug: (more, message) => log.debug({ ...fields, ...more }, message),
    info: (more, message) => log.info({ ...fields, ...more }, message),
    warn: (more, message) => log.warn({ ...fields, ...more }, message),
    error: (more, message) => log.error({ ...fields, ...more }, message),
  };
}
