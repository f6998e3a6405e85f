/** A box over the room, and the key list in it; X-ray and ESC work from there too. */

import type { ComponentChildren } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";

import { KEY_HELP } from "../room/keys";
import { helpOpen } from "../room/state";

export function Dialog({ title, onClose, children }: { title: string; onClose: () => void; children: ComponentChildren }) {
  const box = useRef<HTMLDivElement>(null);
  // Before the box is painted: later it would take the focus from a field in which somebody types already.
  useLayoutEffect(() => {
    const before = document.activeElement;
    // What is asked comes first; a box that asks nothing is closed.
    (box.current?.querySelector<HTMLElement>("input:not(:disabled), select:not(:disabled)") ?? box.current?.querySelector<HTMLElement>("button"))?.focus();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  const keepInside = (event: KeyboardEvent): void => {
    if (event.key !== "Tab" || box.current === null) return;
    const inside = [...box.current.querySelectorAll<HTMLElement>("button:not(:disabled), input:not(:disabled), select:not(:disabled)")];
    const first = inside[0];
    const last = inside.at(-1);
    if (first === undefined || last === undefined) return;
    if (event.shiftKey && document.activeElement === first) {
      last.focus();
      event.preventDefault();
    } else if (!event.shiftKey && document.activeElement === last) {
      first.focus();
      event.preventDefault();
    }
  };
  return (
    <div class="dialog-back" onPointerDown={(event) => {
      if (event.target === event.currentTarget) onClose();
    }}>
      <div class="dialog" role="dialog" aria-modal="true" aria-label={title} ref={box} onKeyDown={keepInside}>
        <header><h2>{title}</h2><button type="button" class="plain" onClick={onClose}>Close <kbd>ESC</kbd></button></header>
        {children}
      </div>
    </div>
  );
}

export function Help() {
  if (!helpOpen.value) return null;
  return (
    <Dialog title="Keys" onClose={() => (helpOpen.value = false)}>
      <div class="keys">
        {KEY_HELP.map(({ group, keys }) => (
          <section key={group}>
            <h3>{group}</h3>
            <dl>{keys.map(([key, text]) => <div key={key}><dt><kbd>{key}</kbd></dt><dd>{text}</dd></div>)}</dl>
          </section>
        ))}
      </div>
    </Dialog>
  );
}
