/** Facts and states are overwritten within a second; triggers of the test keep what they were, and when that was written. */
import type { Sql } from "./sql.ts";

export async function recordHistory(sql: Sql): Promise<void> {
  await sql(
    `create table fact_history (subject_id uuid, layer text, name text, value jsonb, source text, observed_at timestamptz, at timestamptz)`,
  );
  await sql(`create function keep_fact() returns trigger language plpgsql as $$ begin
    insert into fact_history values (new.subject_id, new.layer, new.name, new.value, new.source, new.observed_at, clock_timestamp()); return new; end $$`);
  await sql(`create trigger keep_fact after insert or update on fact for each row execute function keep_fact()`);
  await sql(`create table vapp_history (id bigserial, name text, state text)`);
  await sql(`create function keep_vapp() returns trigger language plpgsql as $$ begin
    if tg_op = 'INSERT' or new.state <> old.state then insert into vapp_history (name, state) values (new.name, new.state); end if; return new; end $$`);
  await sql(`create trigger keep_vapp after insert or update on vapp for each row execute function keep_vapp()`);
}
