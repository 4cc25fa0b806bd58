/** Run by fabric.test.ts in a vitest of its own: most of these tests are meant to fail. */
import { fabricConformance } from "#fabric/conformance.ts";
import { simFabricSubject } from "../support/sim-fabric-subject.ts";
import { fabricSabotages, sabotagedSubject } from "./fabric-sabotages.ts";

fabricConformance({ ...simFabricSubject(), name: "healthy" });
for (const sabotage of fabricSabotages) fabricConformance(sabotagedSubject(sabotage));
