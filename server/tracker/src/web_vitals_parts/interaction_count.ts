/**
 * In place of web-vitals' polyfill: every browser that gives interactions an id also counts them (Chromium 96, Firefox 144,
 * Safari 26.2; https://developer.mozilla.org/docs/Web/API/Performance/interactionCount). One that does not gets its slowest
 * interaction, however many there were.
 */
export const initInteractionCountPolyfill = (): void => {};
export const getInteractionCount = (): number => performance.interactionCount || 0;
