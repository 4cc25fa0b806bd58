/** SQL as text, for tests that judge by the tables and not by our own API. */
import { CompiledQuery } from "kysely";
import type { Database } from "#store/database.ts";

export type Sql = <T>(text: string, values?: readonly unknown[]) => Promise<T[]>;

export function sqlOf(database: Database): Sql {
  return async <T>(text: string, values: readonly unknown[] = []) =>
    (await database.executeQuery<T>(CompiledQuery.raw(text, [...values]))).rows;
}
