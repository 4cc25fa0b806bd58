/** Starts or joins the embedded PostgreSQL of a folder and prints where it is; ends when stdin closes, leaving the server running. */
import { startEmbeddedPostgres } from "#store/embedded.ts";

const [folder = ""] = process.argv.slice(2);
const server = await startEmbeddedPostgres({ folder, settings: { fsync: "off" } });
process.stdout.write(`ready ${JSON.stringify({ pid: server.pid, port: server.port, joined: server.joined, url: server.url })}\n`);
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
