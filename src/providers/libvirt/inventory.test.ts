import { describe, expect, it } from "vitest";
import { descriptionOf, ownerGuessOf, volumeMadeMs } from "#providers/libvirt/inventory.ts";
import { parseXml } from "#providers/libvirt/xml.ts";

const domain = (inner: string) => parseXml(`<domain><name>owner-bob</name>${inner}</domain>`, "domain");
const nova = (inner: string) =>
  `<metadata><nova:instance xmlns:nova="http://n"><nova:owner>${inner}</nova:owner></nova:instance></metadata>`;

describe("ownerGuessOf", () => {
  it.each([
    [nova(`<nova:user uuid="u">ann</nova:user>`), { who: "ann", source: "metadata nova:user" }],
    [
      nova(`<nova:user uuid="u">ann</nova:user><nova:project uuid="p">web</nova:project>`),
      { who: "ann (project web)", source: "metadata nova:user" },
    ],
    ["<metadata><x:m xmlns:x='urn:x'><x:contact>Eve</x:contact></x:m></metadata>", { who: "Eve", source: "metadata x:contact" }],
    ["<title>db; owner: Ann Lee, since May</title>", { who: "Ann Lee", source: "title" }],
    ["<description>Source: /home/carl/box/Vagrantfile</description>", { who: "carl", source: "description" }],
    ["<description>the database of accounting, no downer: it runs</description>", null],
    ["", null],
  ])("%s", (inner, guess) => {
    expect(ownerGuessOf(domain(inner))).toEqual(guess);
  });

  it("takes no part of our own mark for a person", () => {
    const mark = "<metadata><stratiform:owner xmlns:stratiform='urn:s'>us</stratiform:owner></metadata>";
    expect(ownerGuessOf(domain(mark))).toBeNull();
  });
});

describe("descriptionOf", () => {
  it("joins title, description and operating system", () => {
    const os = "<metadata><l:libosinfo xmlns:l='urn:l'><l:os id='http://debian.org/12'/></l:libosinfo></metadata>";
    expect(descriptionOf(domain(`<title>web</title><description> of Ann </description>${os}`))).toBe(
      "web\nof Ann\noperating system: http://debian.org/12",
    );
    expect(descriptionOf(domain("<title> </title>"))).toBeNull();
  });
});

describe("volumeMadeMs", () => {
  const volume = (times: string) => `<volume><target><timestamps>${times}</timestamps></target></volume>`;
  it("takes the earliest time there is", () => {
    expect(volumeMadeMs(volume("<atime>5</atime><mtime>1614834367.500</mtime><btime>1700000000.1</btime>"))).toBe(1_614_834_367_500);
  });
  it("knows nothing where nothing is written", () => {
    expect(volumeMadeMs("<volume><target/></volume>")).toBe(Number.POSITIVE_INFINITY);
    expect(volumeMadeMs(volume("<btime>0.000</btime>"))).toBe(Number.POSITIVE_INFINITY);
  });
});
