// What is kept in the browser: the place of a device, and names made by chance.

import type { Keep, Place } from "./types";

const memory = new Map<string, string>();

/** Return the browser's storage of a kind, or memory where there is none or it is forbidden. */
export function openStorage(kind: "localStorage" | "sessionStorage"): Keep {
  try {
    const storage = globalThis[kind];
    storage.setItem("pushgate", "");
    return storage;
  } catch {
    return { getItem: (key) => memory.get(key) ?? null, setItem: (key, value) => void memory.set(key, value) };
  }
}

/** Return a short name that nobody else has. */
export const makeName = (): string => Array.from(crypto.getRandomValues(new Uint8Array(8)), (n) => n.toString(36)).join("").slice(0, 12);

/** Keeps the place of one device of one user. */
export class PlaceStore {
  #storage: Keep;
  #key: string;

  constructor(storage: Keep, key: string) {
    this.#storage = storage;
    this.#key = key;
  }

  get(): Place | null {
    return JSON.parse(this.#storage.getItem(this.#key) ?? "null") as Place | null;
  }

  /** Keep a place, unless a further one of its epoch is kept. */
  move(place: Place): void {
    const kept = this.get();
    if (kept?.epoch === place.epoch && kept.cursor >= place.cursor) return;
    this.#storage.setItem(this.#key, JSON.stringify(place));
  }
}
