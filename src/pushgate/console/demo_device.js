// What a tab remembers: its name as a device, and how far it has come with each user's messages.

const NAME_WAIT = 1_000; // ms until a name that another tab holds is given up

/** Return the place of a user, or null. */
export function loadPlace(user) {
  return JSON.parse(sessionStorage.getItem(`place of ${user}`));
}

/** Remember the place of a user. */
export function savePlace(user, place) {
  sessionStorage.setItem(`place of ${user}`, JSON.stringify(place));
}

/** Return this tab's name for itself. It outlives a reload; a copied tab has it too, and takes another. */
export async function nameDevice() {
  for (;;) {
    const name = sessionStorage.getItem("device") ?? `tab-${crypto.randomUUID().slice(0, 8)}`;
    if (await hold(name)) {
      sessionStorage.setItem("device", name);
      return name;
    }
    sessionStorage.clear();
  }
}

/** Hold a name as long as the tab lives; false: another tab has it, and does not let go of it soon. */
function hold(name) {
  return new Promise((resolve) => {
    const keep = () => new Promise(() => resolve(true));
    navigator.locks.request(name, { signal: AbortSignal.timeout(NAME_WAIT) }, keep).catch(() => resolve(false));
  });
}
