// Says when the browser has painted what was rendered first.
import { useEffect, useState } from 'react';

/** False until then: requests for details wait, since sending many of them would delay the first rows. */
export function usePainted(): boolean {
  const [isPainted, setPainted] = useState(false);
  useEffect(() => {
    let timer: number | undefined;
    // A task after a frame runs when the frame is painted.
    const frame = requestAnimationFrame(() => {
      timer = window.setTimeout(() => setPainted(true));
    });
    return () => {
      cancelAnimationFrame(frame);
      window.clearTimeout(timer);
    };
  }, []);
  return isPainted;
}
