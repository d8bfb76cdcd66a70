// Promise: each answer that was kept is sent until the server has said yes or no to it; sent twice,
// it counts once, since it carries its own reference.

import { store } from "./store.js";

const TIME_LIMIT = 60_000; // the first time; three photos on a bad network take longer
const LONGEST_AGO = 7 * 86_400; // seconds: an answer that is older says so much
const FIRST_WAIT = 2_000;
const LONGEST_WAIT = 60_000;
const REFUSED = [400, 404, 409, 413, 415];

export class Sender extends EventTarget {
  constructor(user) {
    super();
    this.user = user;
    this.answers = [];
    this.state = "idle"; // sending, waiting, login
    this.failures = 0;
    this.unkept = []; // no place on this phone would take them
  }

  async start() {
    await this.read();
    addEventListener("online", () => this.now());
    addEventListener("offline", () => this.tell());
    document.addEventListener("visibilitychange", () => document.hidden || this.now());
    this.now();
  }

  async read() {
    const kept = await (await store()).all("answers");
    const all = [...kept, ...this.unkept];
    this.others = all.filter((one) => one.user !== this.user).length;
    this.answers = all.filter((one) => one.user === this.user).sort((a, b) => a.at - b.at);
    this.tell();
  }

  get waiting() {
    return this.answers.filter((one) => !one.refused);
  }

  get refused() {
    return this.answers.filter((one) => one.refused);
  }

  async keep(answer) {
    try {
      await (await store()).put("answers", { ...answer, user: this.user });
    } catch {
      this.unkept.push({ ...answer, user: this.user });
    }
    await this.read();
    this.now();
  }

  async drop(reference) {
    this.unkept = this.unkept.filter((one) => one.reference !== reference);
    await (await store()).remove("answers", reference);
    await this.read();
  }

  // One after the other, as they were answered; by whoever comes first if several pages are open.
  async now() {
    clearTimeout(this.timer);
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      await this.round();
    } finally {
      this.busy = false;
    }
    if (this.again) {
      this.again = false;
      this.now();
    }
  }

  async round() {
    await this.read();
    let failed = false;
    for (const answer of this.waiting) {
      this.become("sending");
      const end = await this.send(answer);
      if (end === "login") return this.become("login");
      failed ||= end !== "done";
      if (end === "offline") break;
    }
    if (!failed) {
      this.failures = 0;
      return this.become("idle");
    }
    const wait = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** this.failures++);
    this.timer = setTimeout(() => this.now(), wait * (0.5 + Math.random() / 2));
    return this.become("waiting");
  }

  async send(answer) {
    let response;
    try {
      response = await fetch(`/api/v1/stops/${answer.stop}/${answer.kind}/`, {
        method: "POST",
        body: form(answer),
        headers: { "X-CSRFToken": cookie("csrftoken"), Accept: "application/json" },
        signal: AbortSignal.timeout?.(TIME_LIMIT * 2 ** Math.min(this.failures, 3)),
      });
      if (response.ok) {
        const route = await response.json();
        this.dispatchEvent(new CustomEvent("sent", { detail: { route, served: servedAt(response) } }));
        await this.drop(answer.reference);
        return "done";
      }
    } catch {
      return "offline";
    }
    if (response.status === 401 || response.status === 403) return "login";
    if (!REFUSED.includes(response.status)) return "later";
    await this.refuse(answer, response);
    return "done";
  }

  async refuse(answer, response) {
    const refused = { status: response.status, text: await reasons(response) };
    try {
      await (await store()).put("answers", { ...answer, refused });
    } catch {
      this.unkept = this.unkept.map((one) => (one.reference === answer.reference ? { ...one, refused } : one));
    }
    await this.read();
    this.dispatchEvent(new CustomEvent("refused", { detail: { answer } }));
  }

  become(state) {
    this.state = state;
    this.tell();
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}

function form(answer) {
  const body = new FormData();
  body.set("reference", answer.reference);
  // How long ago, not when: a phone's clock may be wrong, but it runs.
  const ago = Math.round((Date.now() - answer.at) / 1000);
  body.set("seconds_ago", String(Math.min(LONGEST_AGO, Math.max(0, ago))));
  if (answer.kind === "deliver") body.set("proof_name", answer.name);
  else body.set("reason", answer.reason);
  (answer.photos ?? []).forEach((photo, n) => body.append("photo", photo, `${n + 1}.jpg`));
  return body;
}

async function reasons(response) {
  if (response.status === 404) return "This stop is not yours (any more): ask your dispatcher.";
  try {
    return (await response.json()).errors.map((one) => one.reason).join(" ");
  } catch {
    return `The server refused it (${response.status}).`;
  }
}

// By the server's clock, which is that of the pages, too.
export function servedAt(response) {
  return Date.parse(response.headers.get("Date") ?? "") || 0;
}

export function cookie(name) {
  const found = document.cookie.split("; ").find((one) => one.startsWith(`${name}=`));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : "";
}
