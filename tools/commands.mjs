/**
 * What `tools/bootstrap.mjs` can start. `target` are arguments of Node, relative to the clone. `debian` says which groups of
 * tools/packages.mjs the command needs with these arguments; `without` says how it goes on when they cannot be had.
 */

/** Sub-commands of `strat` that make or use a site on this machine. The others talk to a running server. */
const localSite = new Set(["up", "demo", "agent", "image"]);

const siteIsChosen = (args) =>
  args.some((a) => a === "--site" || a.startsWith("--site=")) || args.includes("--help") || args.includes("-h");

/** Tests go on without the suites that need the packages, and say so at the end. */
const withoutEndpoints = (shortcoming) => ({ env: { STRATIFORM_NO_ENDPOINTS: shortcoming } });

const simulated = (shortcoming) => {
  console.error(`${shortcoming}\nGoing on with the simulated site (--site sim): the same control plane, machines that only pretend.`);
  return { args: ["--site", "sim"] };
};

export const commands = {
  strat: {
    target: ["src/cli/main.ts"],
    debian: (args) => (localSite.has(args[0]) && !siteIsChosen(args) ? ["site", "images"] : []),
    without: simulated,
  },
  demo: { target: ["src/cli/main.ts", "demo"], debian: (args) => (siteIsChosen(args) ? [] : ["site", "images"]), without: simulated },
  dev: { target: ["tools/dev.ts"] },
  test: {
    target: ["tools/test.ts"],
    debian: (args) =>
      args.some((a) => ["--quick", "--help", "tidy", "unit", "sim", "api", "sagas", "chaos"].includes(a))
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
