// The sign of permissions: an open padlock for a public database.

export function Padlock({ isOpen }: { readonly isOpen: boolean }) {
  return (
    <svg
      viewBox="0 0 20 20"
      width="16"
      height="16"
      aria-hidden="true"
      className={isOpen ? 'open' : undefined}
    >
      <path
        d={isOpen ? 'M6.5 9V6a3.5 3.5 0 0 1 6.8-1.2' : 'M6.5 9V6a3.5 3.5 0 0 1 7 0v3'}
        fill="none"
        stroke="currentColor"
        strokeWidth="1.7"
      />
      <rect x="4" y="9" width="12" height="8" rx="1.5" fill="currentColor" />
    </svg>
  );
}
