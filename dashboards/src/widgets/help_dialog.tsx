/** What the keys do, and the switch for whoever does not want them. */

import { useState } from "preact/hooks";

import { CHOICES } from "../calendar/periods";
import { Modal } from "../parts/modal";
import { areShortcutsOn, turnShortcuts } from "../view/shortcuts";
import { SCREENS } from "../view/view";
import { SCREEN_WORDS } from "./screens";

const OTHERS: readonly (readonly [string, string])[] = [
  ["C", "Choose days"],
  ["X", "Compare, or not"],
  ["← →", "Period before, period after"],
  ["/", "Filter"],
  ["Esc", "Take all filters away"],
  ["?", "This list"],
];

export function HelpDialog({ onClose }: { readonly onClose: () => void }) {
  const [isOn, setOn] = useState(areShortcutsOn());
  return (
    <Modal title="Keyboard shortcuts" onClose={onClose} class="help">
      <div class="columns">
        <dl>
          {CHOICES.map(({ key, label }) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{label}</dd>
            </div>
          ))}
        </dl>
        <dl>
          {OTHERS.map(([key, label]) => (
            <div key={key}>
              <dt>
                <kbd>{key}</kbd>
              </dt>
              <dd>{label}</dd>
            </div>
          ))}
          {SCREENS.map((screen, at) => (
            <div key={screen}>
              <dt>
                <kbd>{at + 1}</kbd>
              </dt>
              <dd>{SCREEN_WORDS[screen]}</dd>
            </div>
          ))}
        </dl>
      </div>
      <label class="choice">
        <input
          type="checkbox"
          checked={isOn}
          onChange={(event) => {
            turnShortcuts(event.currentTarget.checked);
            setOn(event.currentTarget.checked);
          }}
        />
        Single keys act
      </label>
    </Modal>
  );
}
