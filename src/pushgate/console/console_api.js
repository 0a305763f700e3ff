// The gateway's HTTP API, as the console calls it, and the key that it calls it with.

const API_WAIT = 10_000; // ms
const KEY = "pushgate.key";

/** A failed call: `status` of the answer, 0 where there was none, and in `message` what it says. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** The key of this tab, or null. */
export const readKey = () => sessionStorage.getItem(KEY);

/** Keep the key until the tab is closed; null forgets it. */
export function keepKey(key) {
  if (key === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, key);
}

/** Call the API and return what it answers, read. `body` is JSON text. Throws ApiError. */
export async function callApi(path, { method = "GET", body, key = readKey() } = {}) {
  let response;
  try {
    const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
    response = await fetch(path, { method, headers, body, signal: AbortSignal.timeout(API_WAIT) });
  } catch {
    throw new ApiError(0, "The gateway does not answer.");
  }
  if (!response.ok) throw new ApiError(response.status, await explain(response));
  return response.json();
}

/** Return the text of a scrape. Throws ApiError. */
export async function scrape() {
  const response = await fetch("/metrics", { signal: AbortSignal.timeout(API_WAIT) }).catch(() => null);
  if (response === null) throw new ApiError(0, "The gateway does not answer.");
  if (!response.ok) throw new ApiError(response.status, await explain(response));
  return response.text();
}

async function explain(response) {
  if (response.status === 401) return "The gateway does not know this key.";
  const problem = await response.json().catch(() => ({}));
  const detail = problem.detail ? `${problem.title}: ${problem.detail}` : (problem.title ?? response.statusText);
  const errors = (problem.errors ?? []).map((error) => ` ${error.field}: ${error.message}.`);
  return `${detail} (${response.status}).${errors.join("")}`.replaceAll("`", "");
}
