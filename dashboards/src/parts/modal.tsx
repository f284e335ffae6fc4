/** A dialog over the page: the browser keeps the focus inside, Escape and a click beside it close it. */

import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";

import { Icon } from "./icon";

interface ModalProps {
  readonly title: ComponentChildren;
  readonly class?: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

const FIELDS = 'input:not([type="radio"], [type="checkbox"]), select';

export function Modal({ title, onClose, children, ...props }: ModalProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const before = document.activeElement;
    const element = dialog.current;
    element?.showModal();
    // Whoever types goes on typing; where there is no keyboard, one would cover half the dialog.
    const field = matchMedia("(hover: hover)").matches ? element?.querySelector<HTMLElement>(FIELDS) : null;
    (field ?? element?.querySelector<HTMLElement>("h2"))?.focus();
    document.documentElement.classList.add("has-dialog");
    return () => {
      document.documentElement.classList.remove("has-dialog");
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={`modal ${props.class ?? ""}`}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
      onPointerDown={(event) => event.target === dialog.current && onClose()}
      onKeyDown={(event) => event.stopPropagation()}
    >
      <div class="sheet">
        <header>
          <h2 id={heading} tabIndex={-1}>{title}</h2>
          <button type="button" class="bare" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        </header>
        {children}
      </div>
    </dialog>
  );
}
