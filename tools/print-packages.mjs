/** `npm run packages`: which Debian packages this product uses, why, and whether they are here. */
import { debianPackages } from "./packages.mjs";
import { missingPackages } from "./setup-debian.mjs";

const missing = new Set(missingPackages(["site", "images", "tests", "fresh"]).map((p) => p.name));
for (const p of debianPackages.filter((one) => (one.arch ?? process.arch) === process.arch)) {
  console.log(`${missing.has(p.name) ? "missing" : "present"}  ${p.group.padEnd(7)} ${p.name.padEnd(28)} ${p.why}`);
}
