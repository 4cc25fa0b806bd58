import { expect, it } from "vitest";
import { withoutSecrets } from "#app/steps/guest.ts";

it("what a hook printed is kept without the secrets it was given", () => {
  expect(withoutSecrets("token abc123 is not valid (abc123), user x", ["abc123", "zzz"])).toBe("token *** is not valid (***), user x");
  expect(withoutSecrets("nothing here", [])).toBe("nothing here");
});
