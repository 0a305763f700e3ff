// The gateway's HTTP API, as the demo page calls it.

import { ApiError } from "./demo_connection.js";

const API_WAIT = 10_000; // ms
const TOKEN_TTL = 3_600; // s

/** What the node put into the page. */
export const settings = JSON.parse(document.getElementById("settings").textContent);

/** Call the API: with a body POST, else GET. Throws ApiError where there is no answer. */
export async function callApi(path, body) {
  try {
    return await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers: { Authorization: `Bearer ${settings.key}`, "Content-Type": "application/json" },
      body,
      signal: AbortSignal.timeout(API_WAIT),
    });
  } catch {
    throw new ApiError(0, "The gateway's HTTP API does not answer.");
  }
}

/** Return a token for a user, or throw ApiError. */
export async function fetchToken(uid) {
  const response = await callApi("/v1/tokens", JSON.stringify({ user: uid, ttl: TOKEN_TTL }));
  if (!response.ok) {
    const { text, errors } = await readProblem(response);
    throw new ApiError(response.status, [text, ...errors].join(" "), Number(response.headers.get("Retry-After")) || 0);
  }
  return (await response.json()).token;
}

/** Return what a failed answer says, in plain words, and a line for each field that is wrong. */
export async function readProblem(response) {
  if (response.status === 401) {
    return { text: "The gateway does not know this page's key. Was it started afresh? Reload the page.", errors: [] };
  }
  const problem = await response.json().catch(() => ({}));
  const title = problem.title ?? response.statusText ?? "";
  const detail = problem.detail ? `${title}: ${problem.detail}` : title;
  const errors = (problem.errors ?? []).map((error) => `${error.field}: ${error.message}.`);
  return { text: `${detail} (${response.status}).`.replaceAll("`", ""), errors };
}
