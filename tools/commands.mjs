/**
 * What `tools/bootstrap.mjs` can start. `target` are arguments of Node, relative to the clone. `debian` says which groups of
 * tools/packages.mjs the command needs with these arguments; `without` says how it goes on when they cannot be had. `env` is added.
 */

/** Sub-commands of `strat` that make or use real machines on this host. `up` is not one: a control plane needs nothing but Node. */
const onThisHost = (args) =>
  (args[0] === "demo" && !siteIsChosen(args)) || (!asksHelp(args) && (args[0] === "agent" || (args[0] === "image" && args[1] === "build")));
const asksHelp = (args) => args.some((a) => a === "--help" || a === "-h");

const siteIsChosen = (args) => args.some((a) => ["--help", "-h", "--down", "--purge", "--site"].includes(a) || a.startsWith("--site="));

/** Tests go on without the suites that need the packages, and say so at the end. */
const withoutEndpoints = (shortcoming) => ({ env: { STRATIFORM_NO_ENDPOINTS: shortcoming } });

const simulated = (shortcoming) => {
  console.error(`${shortcoming}\nGoing on with the simulated site (--site sim): the same control plane, machines that only pretend.`);
  return { args: ["--site", "sim"] };
};

/** Only the demo has a simulated variant; an agent or an image build says itself what it cannot do. */
const withoutHost = (shortcoming, args) => {
  if (args[0] === "demo") return simulated(shortcoming);
  console.error(shortcoming);
  return {};
};

export const commands = {
  strat: {
    target: ["src/cli/main.ts"],
    debian: (args) => (onThisHost(args) ? ["site", "images"] : []),
    without: withoutHost,
  },
  demo: { target: ["src/cli/main.ts", "demo"], debian: (args) => (siteIsChosen(args) ? [] : ["site", "images"]), without: simulated },
  // Beside a real installation: its own home, in the clone.
  dev: { target: ["tools/dev.ts"], env: { STRATIFORM_HOME: ".cache/dev" } },
  test: {
    target: ["tools/test.ts"],
    debian: (args) =>
      args.some((a) => ["--quick", "--help", "tidy", "unit", "sim", "api", "sagas", "sabotage", "chaos"].includes(a))
        ? []
        : ["site", "images", "tests"],
    without: withoutEndpoints,
  },
  check: { target: ["tools/check.ts"] },
  build: { target: ["tools/build.ts"] },
  generate: { target: ["tools/generate.ts"] },
  format: { target: ["node_modules/oxfmt/bin/oxfmt"] },
  lint: { target: ["node_modules/oxlint/bin/oxlint"] },
  types: { target: ["node_modules/typescript-7/bin/tsc", "-p", "."] },
  packages: { target: ["tools/print-packages.mjs"] },
  "fresh-machine": { target: ["tools/fresh-machine.ts"], debian: () => ["fresh"], without: withoutEndpoints },
  "nothing-left": { target: ["tools/nothing-left.ts"], debian: () => ["site", "images"], without: withoutEndpoints },
};
