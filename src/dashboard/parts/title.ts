// Sets the title of the browser's tab.
import { useEffect } from 'react';
import { visible } from './name.tsx';

export function useTitle(title: string): void {
  useEffect(() => {
    document.title = `${visible(title)} – Couchgate`;
  }, [title]);
}
