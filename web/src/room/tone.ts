/** Two sounds a room must make: as long as X-ray is on under high-level control, and at the 5-minute signal (21 CFR 1020.32(d), (h)). */

import { effect } from "@preact/signals";

import { connected, exposing, status } from "./state";

const HIGH_LEVEL_HZ = 880;
const SIGNAL_HZ = 620;
const SIGNAL_S = 2;
const LOUD = 0.06;

/** What sounds now; the page shows the same in words. */
export function wantedTone(on: { readonly exposing: boolean; readonly highLevel: boolean }): "high level" | null {
  return on.exposing && on.highLevel ? "high level" : null;
}

let context: AudioContext | null = null;

function sound(hz: number, seconds: number | null): (() => void) | null {
  try {
    context ??= new AudioContext();
    const gain = context.createGain();
    gain.gain.value = LOUD;
    gain.connect(context.destination);
    const source = context.createOscillator();
    source.frequency.value = hz;
    source.connect(gain);
    source.start();
    if (seconds !== null) source.stop(context.currentTime + seconds);
    void context.resume();
    return () => {
      source.stop();
      gain.disconnect();
    };
  } catch {
    return null; // No sound here: the words remain.
  }
}

export function listenForTones(): void {
  let stop: (() => void) | null = null;
  effect(() => {
    const highLevel = status.value?.dose.control?.limits?.high_level === true;
    const wanted = wantedTone({ exposing: exposing.value && connected.value, highLevel });
    if (wanted !== null && stop === null) stop = sound(HIGH_LEVEL_HZ, null);
    else if (wanted === null && stop !== null) {
      stop();
      stop = null;
    }
  });
  let told = false;
  effect(() => {
    const signal = status.value?.dose.five_minute_signal === true;
    if (signal && !told) sound(SIGNAL_HZ, SIGNAL_S);
    told = signal;
  });
}
