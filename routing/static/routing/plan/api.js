/** Promise: whatever goes wrong on the way to the server is said in a sentence that tells what it
 * means for the person in front of the page; a refused change changes nothing. */

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const GENERAL = {
  401: "You are logged out. Log in again; nothing was changed.",
  404: "It is no longer there: somebody may have planned again. The page shows what is now.",
  429: "Too many requests; try again in a moment.",
};

/** `{status, data, etag}`; 304 has no data. Throws Failed. */
export async function ask(url, { body, etag, signal } = {}) {
  const headers = { Accept: "application/json" };
  if (etag) headers["If-None-Match"] = etag;
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    headers["X-CSRFToken"] = document.querySelector("[name=csrfmiddlewaretoken]").value;
  }
  const answer = await sent(url, {
    method: body === undefined ? "GET" : "POST",
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
    cache: "no-store",
    credentials: "same-origin",
    signal,
  });
  if (answer.status === 304) return { status: 304, data: null, etag };
  if (!answer.ok) throw new Failed(answer.status, await reason(answer));
  const text = await read(answer);
  return { status: answer.status, data: text ? JSON.parse(text) : null, etag: answer.headers.get("ETag") };
}

async function sent(url, options) {
  try {
    return await fetch(url, options);
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Failed(0, "The server can't be reached. Look at the page again before you repeat a change.");
  }
}

async function read(answer) {
  try {
    return await answer.text();
  } catch (failure) {
    if (failure.name === "AbortError") throw failure;
    throw new Failed(0, "The connection was lost while the server answered.");
  }
}

async function reason(answer) {
  let told = "";
  try {
    told = (await answer.json()).errors.map((error) => error.reason).join(" ");
  } catch {
    /* not in our shape: a proxy's page, or none */
  }
  if (answer.status === 403) return `${told || "That is not allowed."} If you were logged out, log in again.`;
  if (answer.status >= 500) return `Something went wrong at the server (${answer.status}); it is in its log. Nothing is shown as changed that was not.`;
  return told || GENERAL[answer.status] || `The server refused it (${answer.status}).`;
}
