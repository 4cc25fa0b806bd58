/** What a window onto the end of a log shows that an earlier look, through a window of the same size, did not. */

/** The longest overlap wins, so that nothing is said twice. `gap`: they share nothing. */
export function newLines(before: readonly string[], after: readonly string[]): { lines: readonly string[]; gap: boolean } {
  for (let gone = 0; gone < before.length; gone += 1) {
    const kept = before.length - gone;
    if (kept > after.length) continue;
    let same = 0;
    while (same < kept && before[gone + same] === after[same]) same += 1;
    if (same === kept) return { lines: after.slice(kept), gap: false };
  }
  return { lines: after, gap: before.length > 0 };
}
