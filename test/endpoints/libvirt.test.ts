/** The libvirt provider at a real libvirtd of its own, with real guests. */
import { afterAll, beforeAll } from "vitest";
import { providerConformance } from "#provider/conformance.ts";
import type { ImageSource } from "#provider/contract.ts";
import { libvirtSiteStart, type LibvirtSite } from "../support/libvirt-site.ts";
import { libvirtSubject, tinyNodeImage } from "../support/libvirt-subject.ts";

let site: LibvirtSite;
let image: ImageSource;

beforeAll(async () => {
  [site, image] = await Promise.all([libvirtSiteStart(), tinyNodeImage()]);
}, 300_000);

afterAll(() => site.stop());

providerConformance(
  libvirtSubject(
    () => site,
    () => image,
  ),
);
