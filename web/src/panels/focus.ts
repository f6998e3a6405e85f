/** Where the focus goes when the button that had it gives way to something else: to what came, not to the top of the page. */

import type { RefObject } from "preact";

export function focusNext(place: RefObject<HTMLElement | null>, selector: string): void {
  requestAnimationFrame(() => place.current?.querySelector<HTMLElement>(selector)?.focus());
}
