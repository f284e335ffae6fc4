/** In place of web-vitals' `whenActivated`: this part of the tracker loads after a prerendered page was activated. */
export const whenActivated = (callback: () => void): void => callback();
