// Who this client is to the gateway: a device, and what is known of how far it has come.

import { PlaceStore, makeName, openStorage } from "./store";
import { nameTab } from "./tabs";
import type { Keep, Place } from "./types";

const DEVICE = "pushgate:device";
const RIGHT = /^[\w.:-]{1,64}$/;

/** Whether there are tabs at all: elsewhere a device is a process. */
export const hasTabs = (): boolean => typeof document !== "undefined";

/** Return a device's name, checked, or one that this browser keeps; `alone`: for one tab. Throws TypeError. */
export function chooseDevice(given: string | undefined, alone: boolean, keep: Keep | undefined): string {
  if (hasTabs() && !navigator.locks) throw new TypeError("an inbox needs Web Locks: serve the page by https, or from localhost");
  const storage = keep ?? openStorage("localStorage");
  const device = given ?? storage.getItem(DEVICE) ?? makeName();
  if (!RIGHT.test(device)) throw new TypeError(`device: expected 1 to 64 of A-Z a-z 0-9 . _ : -, got ${device}`);
  if (alone && device.length > 50) throw new TypeError("device: expected at most 50 characters, with shared: false");
  if (given === undefined) storage.setItem(DEVICE, device);
  return device;
}

/** A device of a user, and where its place is kept. */
export class Device {
  /** What tabs that share the device call it, and each other. */
  readonly key: string;
  readonly name: string;
  #store: PlaceStore;

  constructor(key: string, name: string, storage: Keep) {
    this.key = key;
    this.name = name;
    this.#store = new PlaceStore(storage, `${key}:place`);
  }

  /** Return how far it has come: what is kept, or what a page knows where that is further. */
  place(own: Place | null): Place | null {
    const kept = this.#store.get();
    return kept && (kept.epoch !== own?.epoch || kept.cursor > own.cursor) ? kept : own;
  }

  move(place: Place): void {
    this.#store.move(place);
  }
}

/** Return the device of a user: all tabs', or, until the signal, this tab's alone. */
export async function findDevice(
  base: string,
  user: string,
  device: string,
  shared: boolean,
  keep: Keep | undefined,
  signal: AbortSignal,
): Promise<Device> {
  const key = `pushgate:${base}:${user}:${device}`;
  if (shared || !hasTabs()) return new Device(key, device, keep ?? openStorage("localStorage"));
  const storage = openStorage("sessionStorage");
  const tab = await nameTab(storage, `${key}:tab`, signal);
  return new Device(`${key}:${tab}`, `${device}:${tab}`, storage);
}
