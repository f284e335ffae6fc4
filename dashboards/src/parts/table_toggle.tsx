/** Between a chart and the same figures as a table. */

import { Icon } from "./icon";

interface TableToggleProps {
  readonly isOn: boolean;
  readonly onToggle: (isOn: boolean) => void;
}

export function TableToggle({ isOn, onToggle }: TableToggleProps) {
  return (
    <button type="button" class="bare" onClick={() => onToggle(!isOn)}>
      <Icon name={isOn ? "chart" : "table"} /> <span class="wide-only">{isOn ? "As a chart" : "As a table"}</span>
    </button>
  );
}
