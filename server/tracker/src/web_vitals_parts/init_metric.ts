/** In place of web-vitals' `initMetric`, without ids and navigation types: loads have ids of our own. */
export const initMetric = (name: string, value = -1) => ({ name, value });
