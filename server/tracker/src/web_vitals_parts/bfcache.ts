/** In place of web-vitals' `bfcache`, which also keeps the time of the restore for its navigation types. */
export const onBFCacheRestore = (restored: (event: PageTransitionEvent) => void): void =>
  addEventListener("pageshow", (event) => event.persisted && restored(event), true);
