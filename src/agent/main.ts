/** Runs the agent as a process of its own: `node src/agent/main.ts --home DIR --site NAME [--socket PATH] [--expose ADDRESS] [--accelerator kvm|tcg]`. */
import { parseArgs } from "node:util";
import { isAppError } from "#domain/error.ts";
import { startAgent } from "#agent/agent.ts";

const { values } = parseArgs({
  options: {
    home: { type: "string" },
    site: { type: "string" },
    socket: { type: "string" },
    expose: { type: "string" },
    accelerator: { type: "string" },
  },
});

try {
  if (values.home === undefined || values.site === undefined) throw new Error("usage: main.ts --home DIR --site NAME");
  const { accelerator } = values;
  if (accelerator !== undefined && accelerator !== "kvm" && accelerator !== "tcg") throw new Error("--accelerator is kvm or tcg");
  const agent = await startAgent({
    ...(accelerator === undefined ? {} : { accelerator }),
    home: values.home,
    siteName: values.site,
    ...(values.socket === undefined ? {} : { socket: values.socket }),
    ...(values.expose === undefined ? {} : { exposeAddress: values.expose }),
  });
  const stop = () => void agent.close().then(() => process.exit(0));
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  // One line for whoever started it: from here on the socket takes requests.
  process.stdout.write(`${JSON.stringify({ socket: agent.socket, pid: process.pid })}\n`);
} catch (error) {
  process.stderr.write(`${isAppError(error) ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
