// Shows and edits JSON with CodeMirror. It lives in a shadow root, where its styles are objects: the policy
// of the page allows no style elements.
import { defaultKeymap, history, historyKeymap } from '@codemirror/commands';
import { json } from '@codemirror/lang-json';
import { bracketMatching, indentOnInput, indentUnit } from '@codemirror/language';
import { EditorState, type Extension } from '@codemirror/state';
import { drawSelection, EditorView, keymap, lineNumbers } from '@codemirror/view';
import { useEffect, useRef } from 'react';

/** The colours of the page: custom properties reach into the shadow root. */
const THEME = EditorView.theme({
  '&': {
    color: 'var(--mantine-color-text)',
    backgroundColor: 'var(--ground)',
    fontSize: '13px',
    border: '1px solid var(--line)',
    borderRadius: '4px',
  },
  '&.cm-focused': { outline: '2px solid var(--mantine-color-anchor)' },
  '.cm-scroller': { fontFamily: 'var(--mantine-font-family-monospace)', lineHeight: '1.5' },
  '.cm-content': { caretColor: 'var(--mantine-color-text)', minHeight: '120px' },
  '.cm-cursor': { borderLeftColor: 'var(--mantine-color-text)' },
  '.cm-gutters': {
    backgroundColor: 'var(--ground-2)',
    color: 'var(--mantine-color-dimmed)',
    borderRight: '1px solid var(--line)',
  },
  '&.cm-focused .cm-selectionBackground, .cm-selectionBackground': {
    backgroundColor: 'var(--mantine-primary-color-light) !important',
  },
  '.cm-changedLine': { backgroundColor: 'var(--mark) !important' },
  '.cm-deletedChunk': { backgroundColor: 'var(--removed) !important' },
  '.cm-changedText': { background: 'none !important', textDecoration: 'underline' },
  '&.cm-merge-a .cm-changedLine': { backgroundColor: 'var(--removed) !important' },
  '&.cm-merge-b .cm-changedLine': { backgroundColor: 'var(--added) !important' },
});

/** What every view of JSON has. Tab is left to the page, so that the keyboard can leave the editor. */
export function extensions(label: string, isReadOnly: boolean): readonly Extension[] {
  return [
    THEME,
    lineNumbers(),
    history(),
    drawSelection(),
    indentOnInput(),
    bracketMatching(),
    indentUnit.of('  '),
    json(),
    keymap.of([...defaultKeymap, ...historyKeymap]),
    EditorView.lineWrapping,
    EditorState.readOnly.of(isReadOnly),
    EditorView.contentAttributes.of({
      'aria-label': label,
      ...(isReadOnly ? { 'aria-readonly': 'true' } : {}),
    }),
  ];
}

/** The shadow root of an element, made once. */
export function shadowOf(element: HTMLElement): ShadowRoot {
  return element.shadowRoot ?? element.attachShadow({ mode: 'open' });
}

interface Props {
  /** Replaces the content whenever it changes. */
  readonly value: string;
  readonly label: string;
  /** Undefined = read-only. */
  readonly onChange?: ((text: string) => void) | undefined;
}

export function JsonEditor({ value, label, onChange }: Props) {
  const place = useRef<HTMLDivElement>(null);
  const view = useRef<EditorView>(undefined);
  const latest = useRef(onChange);
  useEffect(() => {
    latest.current = onChange;
  }, [onChange]);
  const isReadOnly = onChange === undefined;
  useEffect(() => {
    if (place.current === null) return undefined;
    const root = shadowOf(place.current);
    const made = new EditorView({
      root,
      parent: root,
      state: EditorState.create({
        doc: value,
        extensions: [
          ...extensions(label, isReadOnly),
          EditorView.updateListener.of((update) => {
            if (update.docChanged) latest.current?.(update.state.doc.toString());
          }),
        ],
      }),
    });
    view.current = made;
    return () => made.destroy();
    // The content follows below: a new editor would lose the place of the cursor.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [label, isReadOnly]);
  useEffect(() => {
    const { current } = view;
    if (current !== undefined && current.state.doc.toString() !== value)
      current.dispatch({ changes: { from: 0, to: current.state.doc.length, insert: value } });
  }, [value]);
  return <div ref={place} className="json" />;
}
