/** Says whether what it stands before is open. */
import classes from "./Chevron.module.css";

export function Chevron({ isOpen }: { readonly isOpen: boolean }) {
  return (
    <svg className={classes.chevron} data-open={isOpen} viewBox="0 0 12 12" width="12" height="12" aria-hidden="true" focusable="false">
      <path d="M4 2.5 8 6 4 9.5" fill="none" stroke="currentColor" strokeWidth="1.7" strokeLinecap="round" strokeLinejoin="round" />
    </svg>
  );
}
