/** The shape of what is on its way, for the first time only: later answers replace what is shown without a gap. */
import { Skeleton, VisuallyHidden } from "@mantine/core";

export function Waiting({ what, lines }: { readonly what: string; readonly lines: number }) {
  return (
    <div role="status" aria-busy="true">
      <VisuallyHidden>Loading {what}</VisuallyHidden>
      {Array.from({ length: lines }, (_, line) => (
        <Skeleton key={line} height={44} mb={8} />
      ))}
    </div>
  );
}
