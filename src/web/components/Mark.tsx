/** The product's sign: strata. */
export function Mark({ size = 22 }: { readonly size?: number }) {
  return (
    <svg viewBox="0 0 24 24" width={size} height={size} aria-hidden="true" focusable="false">
      <path d="M12 2 22 7 12 12 2 7Z" fill="#0d9488" />
      <path d="M2 12 12 17 22 12" fill="none" stroke="#14b8a6" strokeWidth="2.4" strokeLinejoin="round" />
      <path d="M2 17 12 22 22 17" fill="none" stroke="#2dd4bf" strokeWidth="2.4" strokeLinejoin="round" />
    </svg>
  );
}
