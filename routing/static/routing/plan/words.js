/** Promise: times are the depot's local times, and a figure looks the same wherever it stands. */

let clocks = null;
let days = null;

/** Once, before anything is written. */
export function useZone(timeZone) {
  clocks = new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit" });
  days = new Intl.DateTimeFormat("en-GB", { timeZone, day: "numeric", month: "short" });
}

export const clock = (moment) => (moment ? clocks.format(new Date(moment)) : "–");

/** With the day, where it is not the one that is shown. */
export function dated(moment, day) {
  if (!moment) return "–";
  const date = days.format(new Date(moment));
  return day && date === days.format(new Date(`${day}T12:00:00Z`)) ? clock(moment) : `${date}, ${clock(moment)}`;
}

export function span(from, until, day) {
  if (!from && !until) return "any time";
  if (!from) return `until ${dated(until, day)}`;
  if (!until) return `from ${dated(from, day)}`;
  return `${dated(from, day)}–${days.format(new Date(from)) === days.format(new Date(until)) ? clock(until) : dated(until, day)}`;
}

export const number = (value, digits = 0) =>
  value.toLocaleString("en-GB", { minimumFractionDigits: digits, maximumFractionDigits: digits });

export const km = (value) => `${number(value, value < 100 ? 1 : 0)} km`;

/** A difference, its sign always in front. */
export const signed = (value, digits = 2) => {
  const text = number(Math.abs(value), digits);
  return /[1-9]/.test(text) ? `${value > 0 ? "+" : "−"}${text}` : `±${text}`;
};

export const hours = (seconds) => {
  const minutes = Math.round(seconds / 60);
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")}`;
};

export const many = (count, one, more = `${one}s`) => `${number(count)} ${count === 1 ? one : more}`;
