/**
 * The packet rules of a site, as one nft file that replaces our table atomically. Pure: the same segments give the same text.
 * Between segments nothing passes. A segment that is not isolated may open connections to whatever is not a segment, under the
 * site's own address. Guests reach none of the site's own ports; they may ping their gateway.
 */
import type { SegmentRecord } from "#agent/agent-state.ts";

export interface RulesetOptions {
  /** `drop` in a namespace of our own; `accept` on the host, where other people's packets are none of our business. */
  readonly policy: "drop" | "accept";
}

export function rulesetText(segments: readonly SegmentRecord[], options: RulesetOptions): string {
  const sorted = segments.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const names = sorted.map((s) => `"${s.name}"`).join(", ");
  const outbound = sorted.filter((s) => !s.isolated);
  const set = sorted.length === 0 ? "" : `    elements = { ${names} }\n`;
  const lines = (rules: string[]) => rules.map((rule) => `    ${rule}\n`).join("");
  return `table inet stratiform {}
delete table inet stratiform
table inet stratiform {
  set segments {
    type ifname
${set}  }
  chain forward {
    type filter hook forward priority filter; policy ${options.policy};
    ct state established,related accept
${lines(sorted.map((s) => `iifname "${s.name}" oifname "${s.name}" accept`))}${lines(
    outbound.map((s) => `iifname "${s.name}" ip saddr ${s.prefix} oifname != @segments accept`),
  )}    iifname @segments drop
    oifname @segments drop
  }
  chain input {
    type filter hook input priority filter; policy ${options.policy};
    iifname "lo" accept
    ct state established,related accept
    iifname @segments icmp type echo-request accept
    iifname @segments drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
${lines(outbound.map((s) => `ip saddr ${s.prefix} oifname != @segments masquerade`))}  }
}
`;
}
