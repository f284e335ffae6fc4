/** In place of web-vitals' `bindReporter`, without ratings and deltas: reports a value when it is another one than before. */
export const bindReporter = (onReport: (metric: Metric) => void, metric: Metric) => {
  let last: number;
  return (): void => {
    if (metric.value >= 0 && metric.value != last) {
      last = metric.value;
      onReport(metric);
    }
  };
};

interface Metric {
  value: number;
}
