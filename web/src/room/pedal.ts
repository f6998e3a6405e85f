/**
 * The pedal: X-ray is on only while someone holds it. Whatever makes it unsure that someone does (focus lost, page hidden,
 * pointer taken away, connection lost) lets go. While held, a heartbeat every 200 ms; the server lets go after 700 ms without.
 */

export interface PedalPorts {
  /** Ask the room to press or release; resolves to whether a press was taken. */
  send(down: boolean): Promise<boolean>;
  heartbeat(): void;
  /** Why the pedal may not be pressed now, or null. */
  refusal(): string | null;
  changed(down: boolean): void;
  tell(text: string): void;
}

export const HEARTBEAT_MS = 200;

export class Pedal {
  private beat: ReturnType<typeof setInterval> | null = null;
  private holder: string | null = null;
  private press = 0;

  constructor(private readonly ports: PedalPorts) {}

  get down(): boolean {
    return this.holder !== null;
  }

  /** Press by `holder` ("key" or a pointer); only the first one counts. */
  pressBy(holder: string): void {
    if (this.holder !== null) return;
    const refusal = this.ports.refusal();
    if (refusal !== null) {
      this.ports.tell(refusal);
      return;
    }
    this.holder = holder;
    this.press += 1;
    const press = this.press;
    this.ports.changed(true);
    this.beat = setInterval(() => this.ports.heartbeat(), HEARTBEAT_MS);
    void this.ports.send(true).then((taken) => {
      if (!taken && this.press === press) this.letGo();
    });
  }

  /** Release by `holder`; a release by someone who does not hold it does nothing. */
  releaseBy(holder: string): void {
    if (this.holder === holder) this.release();
  }

  /** Release whoever holds it. */
  release(): void {
    if (this.holder === null) return;
    this.letGo();
    void this.ports.send(false);
  }

  private letGo(): void {
    this.holder = null;
    if (this.beat !== null) clearInterval(this.beat);
    this.beat = null;
    this.ports.changed(false);
  }
}

/** Release at everything that leaves the pedal unwatched. */
export function releaseWhenUnwatched(pedal: Pedal, window: Window, document: Document): void {
  window.addEventListener("blur", () => pedal.release());
  window.addEventListener("pagehide", () => pedal.release());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden") pedal.release();
  });
}
