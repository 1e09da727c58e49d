// Copies a text to the clipboard.
import { Button } from '@mantine/core';
import { useState } from 'react';

interface Props {
  readonly text: string;
  /** What is copied, for the accessible name. */
  readonly what: string;
}

/**
 * Says for a moment that it has copied. Without a clipboard (plain HTTP over a network) it selects nothing.
 */
export function CopyButton({ text, what }: Props) {
  const [state, setState] = useState<'idle' | 'copied' | 'failed'>('idle');
  const copy = (): void => {
    // Browsers offer the clipboard to secure origins and to localhost alone.
    const clipboard = (navigator as { readonly clipboard?: Clipboard }).clipboard;
    const written = clipboard?.writeText(text) ?? Promise.reject(new Error('no clipboard'));
    written.then(
      () => setState('copied'),
      () => setState('failed'),
    );
  };
  const words = { idle: 'Copy', copied: 'Copied', failed: 'Select and copy by hand' } as const;
  return (
    <Button size="xs" variant="default" onClick={copy} aria-label={`Copy ${what}`}>
      <span aria-live="polite">{words[state]}</span>
    </Button>
  );
}
