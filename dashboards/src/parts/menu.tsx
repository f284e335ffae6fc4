/**
 * A button that opens a list beneath it. The list holds links and buttons, so it needs no roles of its own.
 *
 * Escape closes it and gives the focus back; so does choosing. Leaving it by Tab or with a click elsewhere closes it. Up and
 * down move through it.
 */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef, useState } from "preact/hooks";

interface MenuProps {
  readonly label: ComponentChildren;
  /** For whoever cannot see the label, or its icon alone. */
  readonly name?: string;
  readonly class?: string;
  /** At which edge of the button the list lies. */
  readonly side?: "left" | "right";
  readonly children: (close: () => void) => ComponentChildren;
  /** Opened from elsewhere, such as by a key; counts up. */
  readonly openedBy?: number;
}

export function Menu({ label, name, side = "left", openedBy = 0, children, ...props }: MenuProps) {
  const [isOpen, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const id = useId();

  useEffect(() => {
    if (openedBy > 0) setOpen(true);
  }, [openedBy]);
  useEffect(() => {
    if (!isOpen) return undefined;
    const outside = (event: PointerEvent): void => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    addEventListener("pointerdown", outside);
    if (openedBy > 0) focusables(root.current)[0]?.focus();
    return () => removeEventListener("pointerdown", outside);
  }, [isOpen]);

  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  const press = (event: KeyboardEvent): void => {
    if (!isOpen) return;
    const items = focusables(root.current);
    const at = items.indexOf(document.activeElement as HTMLElement);
    const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
    if (event.key === "Escape") close();
    else if (event.key === "ArrowDown" && !isTyping) items[(at + 1) % items.length]?.focus();
    else if (event.key === "ArrowUp" && !isTyping) items.at(at <= 0 ? -1 : at - 1)?.focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  };
  const leave = (event: FocusEvent): void => {
    if (event.relatedTarget instanceof Node && !root.current?.contains(event.relatedTarget)) setOpen(false);
  };

  return (
    <div class={`menu ${props.class ?? ""}`} ref={root} onKeyDown={press} onFocusOut={leave}>
      <button
        type="button"
        ref={button}
        class="opens"
        aria-expanded={isOpen}
        aria-controls={id}
        {...(name === undefined ? {} : { "aria-label": name, title: name })}
        onClick={() => setOpen(!isOpen)}
      >
        {label}
      </button>
      <div id={id} class={`list ${side}`} hidden={!isOpen}>
        {isOpen && children(close)}
      </div>
    </div>
  );
}

function focusables(within: HTMLElement | null): HTMLElement[] {
  const found = within?.querySelectorAll<HTMLElement>(".list a, .list button:not(:disabled), .list input, .list select");
  return [...(found ?? [])];
}
