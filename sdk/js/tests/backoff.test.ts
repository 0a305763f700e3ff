// When clients come back that lost the same gateway, in a time that is only counted.

import { beforeEach, expect, test, vi } from "vitest";
import { Backoff } from "../src/backoff";

const CLIENTS = 5000;
const RATE = 2000;

interface Client {
  backoff: Backoff;
  at: number; // ms since they lost it
}

interface Return {
  busiest: number; // tries in the second with the most of them
  tried: number; // seconds from the gateway's return until the last one tried
  back: number; // … and was connected
}

/** Count one more in its second; returns how many there are in it. */
function count(seconds: Map<number, number>, ms: number): number {
  const second = Math.floor(ms / 1000);
  seconds.set(second, (seconds.get(second) ?? 0) + 1);
  return seconds.get(second)!;
}

/** All lose a gateway that is back after `away` seconds, and begins RATE handshakes in each from then on. */
function comeBack(away: number, start: (backoff: Backoff) => number): Return {
  const tries = new Map<number, number>();
  const begun = new Map<number, number>();
  let tried = 0;
  let back = 0;
  let clients: Client[] = Array.from({ length: CLIENTS }, () => {
    const backoff = new Backoff();
    return { backoff, at: start(backoff) };
  });
  for (const client of clients) {
    while (client.at < away * 1000) client.at += client.backoff.next();
    tried = Math.max(tried, client.at);
  }
  while (clients.length) {
    clients.sort((a, b) => a.at - b.at);
    const horizon = clients[0]!.at + 500; // no refused one comes again before
    const refused = [];
    for (const client of clients) {
      if (client.at < horizon) {
        count(tries, client.at);
        if (count(begun, client.at - away * 1000) <= RATE) {
          back = Math.max(back, client.at);
          continue;
        }
        client.at += client.backoff.next();
      }
      refused.push(client);
    }
    clients = refused;
  }
  return { busiest: Math.max(...tries.values()), tried: tried / 1000 - away, back: back / 1000 - away };
}

/** Return the tries in the busiest second, of a minute in which the gateway is not back. */
function busiestAway(start: (backoff: Backoff) => number): number {
  const tries = new Map<number, number>();
  for (let n = 0; n < CLIENTS; n++) {
    const backoff = new Backoff();
    for (let at = start(backoff); at < 60_000; at += backoff.next()) count(tries, at);
  }
  return Math.max(...tries.values());
}

/** The same chances in every run (mulberry32). */
beforeEach(() => {
  let state = 1;
  vi.spyOn(Math, "random").mockImplementation(() => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  });
});

const told = (backoff: Backoff) => (backoff.tell(2.8, true), backoff.next());
const untold = (backoff: Backoff) => backoff.next();
const announced = (backoff: Backoff) => (backoff.tell(2.8, true), backoff.next(2.8 * Math.random()));

test.each([0, 0.5, 1, 2, 5, 20])("5,000 clients of a gateway that was away for %d s", (away) => {
  const quarter = away / 4;
  for (const start of [told, announced]) {
    const { busiest, tried, back } = comeBack(away, start);
    expect(busiest).toBeLessThan(RATE * 1.3);
    // What is possible at all at 2,000 a second is 2.5 s.
    expect(tried).toBeLessThan(Math.max(2.8, quarter));
    expect(back).toBe(tried);
  }
  const { busiest, tried } = comeBack(away, untold);
  expect(busiest).toBeLessThan(RATE * 1.3);
  expect(tried).toBeLessThan(Math.max(2, quarter));
});

test("while it is away, they are no more a second", () => {
  for (const start of [told, announced, untold]) expect(busiestAway(start)).toBeLessThan(RATE * 1.3);
});
