export interface DebianPackage {
  readonly name: string;
  readonly group: "site" | "images" | "tests" | "fresh";
  readonly why: string;
  readonly probe: readonly string[];
  readonly arch?: string;
}
export const debianPackages: readonly DebianPackage[];
