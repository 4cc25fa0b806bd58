/**
 * The conformance suite: the one definition of what a provider must do, run unchanged against every provider at a real endpoint.
 *
 *     providerConformance({ name: "libvirt", capabilities, open, openUnreachable, machine, imageSource, foreign, kill });
 *
 * Every check uses names of its own and removes what it made, so the suite may run beside other work at the same endpoint. It
 * needs the image to contain /bin/echo, /bin/cat, /bin/false and /bin/sleep where the provider has a channel. Capabilities that are missing
 * appear as tests named `lacks: …` that assert the refusal; nothing is skipped. The checks are plain functions
 * (conformance/checks.ts), so that sabotage tests can show that they turn red.
 */
import { afterAll, describe, test } from "vitest";
import { checksFor } from "#provider/conformance/checks.ts";
import { callContext, type ConformanceSubject } from "#provider/conformance/subject.ts";

export type { ConformanceSubject } from "#provider/conformance/subject.ts";

/** A check may boot a guest without hardware virtualization on a loaded machine. */
const checkLimitMs = 180_000;

export function providerConformance(subject: ConformanceSubject): void {
  describe(`provider conformance: ${subject.name}`, () => {
    afterAll(async () => {
      const provider = await subject.open();
      await provider.imageRemove(callContext(), await subject.imageSource());
      await provider.close();
    });

    for (const check of checksFor(subject.capabilities)) {
      test(check.name, { timeout: checkLimitMs }, () => check.run(subject));
    }
  });
}
