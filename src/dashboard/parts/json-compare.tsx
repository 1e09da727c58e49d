// Shows two texts side by side with what differs.
import { MergeView } from '@codemirror/merge';
import { EditorView } from '@codemirror/view';
import { useEffect, useRef } from 'react';
import { extensions, shadowOf } from './json-editor.tsx';

interface Side {
  readonly title: string;
  readonly text: string;
}

interface Props {
  readonly left: Side;
  readonly right: Side;
  /** What the colours mean. */
  readonly legend?: { readonly removed: string; readonly added: string };
  /** Makes the right side editable; parts of the left one can be taken over. */
  readonly onChange?: (text: string) => void;
}

const SIDES = { removed: 'only on the left', added: 'only on the right' };

/** The texts of the start; edits of the right side are told by `onChange`. */
export function JsonCompare({ left, right, legend = SIDES, onChange }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  }, [onChange]);
  const isEditable = onChange !== undefined;
  useEffect(() => {
    if (place.current === null) return undefined;
    const root = shadowOf(place.current);
    const view = new MergeView({
      root,
      parent: root,
      a: { doc: left.text, extensions: extensions(left.title, true) },
      b: {
        doc: right.text,
        extensions: [
          ...extensions(right.title, !isEditable),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current?.(update.state.doc.toString());
          }),
        ],
      },
      collapseUnchanged: { margin: 3, minSize: 6 },
      ...(isEditable ? { revertControls: 'a-to-b' as const } : {}),
    });
    return () => view.destroy();
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [left.title, left.text, right.title, isEditable]);
  return (
    <div className="compare">
      <div className="compare-heads">
        <strong>{left.title}</strong>
        <strong>{right.title}</strong>
      </div>
      <p className="hint">
        <span className="removed-mark">Red lines</span>: {legend.removed}.{' '}
        <span className="added-mark">Green lines</span>: {legend.added}.
        {left.text === right.text && ' The two are the same.'}
      </p>
      <div ref={place} className="json" />
    </div>
  );
}
