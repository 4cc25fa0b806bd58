/** How long ago something was, ticking; both exact times on demand. */
import { useNow } from "../clock.ts";
import { age, duration, durationRoughly, moment } from "../format.ts";

export function Age({ at, suffix = true }: { readonly at: string; readonly suffix?: boolean }) {
  const passed = useNow() - Date.parse(at);
  return (
    <time dateTime={at} title={moment(at)}>
      {suffix ? age(passed) : age(passed).replace(/ ago$/, "")}
    </time>
  );
}

/** How long something took, or has been going on. */
export function Duration({ from, to }: { readonly from: string; readonly to: string | null }) {
  const now = useNow();
  const begin = Date.parse(from);
  // Tenths of something that goes on would only flicker.
  const text = to === null ? durationRoughly(now - begin) : duration(Date.parse(to) - begin);
  return <span title={`since ${moment(from)}`}>{text}</span>;
}
