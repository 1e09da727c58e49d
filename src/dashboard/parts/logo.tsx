// The name of the product with its sign.

export function Logo() {
  return (
    <span className="logo">
      <svg viewBox="0 0 32 32" width="22" height="22" aria-hidden="true">
        <rect width="32" height="32" rx="7" className="logo-ground" />
        <path className="logo-line" d="M9 24V13a7 7 0 0 1 14 0v11M16 6v18M9 17h14" />
      </svg>
      Couchgate
    </span>
  );
}
