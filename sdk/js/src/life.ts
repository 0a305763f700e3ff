// What happens to a page: networks come and go, tabs are hidden, put to sleep, kept for the back button.

export interface Life {
  /** The network came back: it may be another one. */
  online(): void;
  /** The page is looked at again, or was woken. */
  wake(): void;
  /** There is a reason to doubt the connection. */
  doubt(): void;
  /** The page is left; the browser may keep it, to be shown again. */
  hide(): void;
  show(): void;
}

/** Tell what happens to this page; returns what ends that. Where there is no page nothing happens to it. */
export function watchLife(life: Life): () => void {
  if (typeof document === "undefined") return () => {};
  const end = new AbortController();
  const on = (target: EventTarget, name: string, listener: (event: Event) => void) =>
    target.addEventListener(name, listener, { signal: end.signal });
  on(window, "online", () => life.online());
  on(window, "offline", () => life.doubt());
  on(document, "resume", () => life.wake());
  on(document, "visibilitychange", () => document.visibilityState === "visible" && life.wake());
  on(window, "pagehide", () => life.hide());
  on(window, "pageshow", (event) => (event as PageTransitionEvent).persisted && life.show());
  return () => end.abort();
}
