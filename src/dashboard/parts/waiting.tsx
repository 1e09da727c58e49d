// Says that something is being read. It appears only after a moment: most answers are faster than a reader.

export function Waiting({ what }: { readonly what: string }) {
  return (
    <p className="waiting" role="status">
      Reading {what} …
    </p>
  );
}
