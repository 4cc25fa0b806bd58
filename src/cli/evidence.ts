/** What happened, who did it, what it costs. */
import type { Command } from "commander";
import { ask, type Schemas } from "#sdk/client.ts";
import { followEvents } from "#sdk/events.ts";
import { allPages, wholeNumber, withSession } from "#cli/command.ts";
import { faint, type Session, state, strong } from "#cli/session.ts";
import { amount, table } from "#cli/text.ts";

type Event = Schemas["Event"];

interface EventOptions {
  readonly vapp?: string;
  readonly after?: number;
  readonly follow?: boolean;
  readonly limit: number;
}

export function registerEvidence(program: Command): void {
  program
    .command("events")
    .description("list or follow events")
    .option("--vapp <vapp>", "only of this vApp")
    .option("--after <position>", "only those after this position", wholeNumber)
    .option("-f, --follow", "go on until interrupted; survives a restart of the server")
    .option("--limit <n>", "how many, without --follow", wholeNumber, 1_000)
    .action(withSession(events));
  program
    .command("audit")
    .description("list audit records")
    .option("--after <id>", "only those after this record", wholeNumber, 0)
    .option("--limit <n>", "how many", wholeNumber, 1_000)
    .action(
      withSession(async (session, options: { after: number; limit: number }) => {
        const items = await allPages(options.limit, (after, limit) =>
          ask(session.client.GET("/v1/audit", { params: { query: { after: Number(after ?? options.after), limit } } })),
        );
        session.show(items, () => auditText(items));
      }),
    );
  program
    .command("bill [vapp]")
    .description("what a vApp or a project cost, line by line")
    .option("--project <project>", "of one project; without a vApp: project default")
    .option("--from <time>", "RFC 3339; default: the beginning")
    .option("--to <time>", "RFC 3339; default: now")
    .action(
      withSession(async (session, vapp: string | undefined, { project, from, to }: { project?: string; from?: string; to?: string }) => {
        const given = Object.entries({ vapp, project, from, to }).filter(([, value]) => value !== undefined);
        const bill = await ask(session.client.GET("/v1/bill", { params: { query: Object.fromEntries(given) } }));
        session.show(bill, () => billText(bill));
      }),
    );
}

async function events(session: Session, options: EventOptions): Promise<void> {
  const vapp = options.vapp === undefined ? {} : { vapp: options.vapp };
  const show = (event: Event) => process.stdout.write(`${session.json ? JSON.stringify(event) : eventText(event)}\n`);
  if (options.follow === true) {
    for await (const event of followEvents({ ...session, ...vapp, after: options.after ?? 0 })) show(event);
    return;
  }
  let after = options.after ?? 0;
  for (let left = options.limit; left > 0;) {
    const page = await ask(session.client.GET("/v1/events", { params: { query: { ...vapp, after, limit: Math.min(500, left) } } }));
    // The same operation also streams text, but only to those who accept that.
    const { items, next } = page as Schemas["EventList"];
    for (const event of items) show(event);
    if (items.length === 0) break;
    left -= items.length;
    after = Number(next);
  }
}

function eventText(event: Event): string {
  const data = Object.entries((event.data ?? {}) as Record<string, unknown>).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return `${String(event.position).padStart(6)}  ${event.time}  ${strong(event.type.replace(/^stratiform\./, ""))}  ${event.subject}  ${faint(data.join(" "))}`;
}

function auditText(records: readonly Schemas["AuditRecord"][]): string {
  return table(records, [
    { title: "ID", of: ({ id }) => String(id) },
    { title: "WHEN", of: ({ at }) => at },
    { title: "WHO", of: ({ principal }) => principal ?? "-" },
    { title: "DECISION", of: ({ decision }) => state(decision) },
    { title: "ACTION", of: ({ action }) => action },
    { title: "WHY", of: ({ reason }) => reason },
    { title: "DATA", of: ({ data }) => JSON.stringify(data) },
  ]);
}

function billText(bill: Schemas["Bill"]): string {
  const lines = table(bill.lines, [
    { title: "RESOURCE", of: ({ name }) => name },
    { title: "KIND", of: ({ kind }) => kind },
    { title: "METER", of: ({ meter }) => meter },
    { title: "FROM", of: ({ from }) => from },
    { title: "TO", of: ({ to }) => to },
    { title: "QUANTITY", of: ({ quantity }) => amount(quantity) },
    { title: "PRICE", of: ({ unitPrice }) => amount(unitPrice) },
    { title: "AMOUNT", of: (line) => amount(line.amount) },
  ]);
  const total = `${strong(`${amount(bill.total)} ${bill.currency}`)}  ${bill.vapp ?? `project ${bill.project}`}, ${bill.from} to ${bill.to}`;
  return bill.lines.length === 0 ? total : `${lines}\n\n${total}`;
}
