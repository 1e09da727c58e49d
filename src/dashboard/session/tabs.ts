// Tells the other tabs of the browser who has signed in: they share the cookie of the session.

const channel = new BroadcastChannel('couchgate-dashboard');

/** Tells the name of whoever has signed in here, or has the session. */
export function tellTabs(name: string): void {
  channel.postMessage(name);
}

/** Calls `hear` with the name of whoever has signed in in another tab. Returns the end of it. */
export function onSignInElsewhere(hear: (name: string) => void): () => void {
  const listener = ({ data }: MessageEvent<unknown>): void => {
    if (typeof data === 'string') hear(data);
  };
  channel.addEventListener('message', listener);
  return () => channel.removeEventListener('message', listener);
}
