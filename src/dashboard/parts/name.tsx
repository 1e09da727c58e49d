// Shows a text that somebody else has chosen: a name, a label, a reason.

/** Control characters, and those that reorder or hide text around them. */
// eslint-disable-next-line no-control-regex
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/gu;

/** Replaces what cannot be seen by its code point, so that two names never look alike by it. */
export function visible(text: string): string {
  return text.replace(
    UNSEEN,
    (found) => `⟨U+${(found.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, '0')}⟩`,
  );
}

/** A name in the fixed-width font. `bdi` keeps a name in Arabic or Hebrew from reordering its neighbours. */
export function Name({ of }: { readonly of: string }) {
  return <bdi className="name">{visible(of)}</bdi>;
}

/** A text of somebody else in the font of its surroundings. */
export function Foreign({ text }: { readonly text: string }) {
  return <bdi>{visible(text)}</bdi>;
}
