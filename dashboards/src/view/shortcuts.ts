/**
 * What single keys do. They can be turned off (WCAG 2.1.4: whoever speaks to their computer would set them off), and do
 * nothing while one types, or with a modifier.
 */

import { useEffect, useRef } from "preact/hooks";

const OFF_KEY = "footfall.shortcuts-off";

export function areShortcutsOn(): boolean {
  try {
    return localStorage.getItem(OFF_KEY) === null;
  } catch {
    // No storage here, such as in a frame of another site: the keys stay on.
    return true;
  }
}

export function turnShortcuts(on: boolean): void {
  try {
    if (on) localStorage.removeItem(OFF_KEY);
    else localStorage.setItem(OFF_KEY, "1");
  } catch {
    // As above: the choice then lasts as long as the page, which is no choice at all.
  }
}

export type Shortcuts = Readonly<Record<string, () => void>>;

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && target.matches("input, select, textarea, [contenteditable]");
}

/** Listens while the page is there. Keys by `KeyboardEvent.key`, letters in upper case. */
export function useShortcuts(shortcuts: Shortcuts): void {
  const now = useRef(shortcuts);
  now.current = shortcuts;
  useEffect(() => {
    const press = (event: KeyboardEvent): void => {
      const hasModifier = event.ctrlKey || event.metaKey || event.altKey;
      if (event.defaultPrevented || hasModifier || isTyping(event.target) || !areShortcutsOn()) return;
      if (document.querySelector("dialog[open]")) return;
      const key = event.key.length === 1 ? event.key.toUpperCase() : event.key;
      const act = Object.hasOwn(now.current, key) ? now.current[key] : undefined;
      if (!act) return;
      event.preventDefault();
      act();
    };
    addEventListener("keydown", press);
    return () => removeEventListener("keydown", press);
  }, []);
}
