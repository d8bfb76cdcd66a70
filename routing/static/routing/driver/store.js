// Promise: what was answered is on this phone until the server has it, whatever becomes of the page.
// In IndexedDB; where there is none, in localStorage, which can't take photos.

const NAME = "drive";
// Answers to be sent, answers begun, and routes as the server showed them last.
const KEYS = { answers: "reference", drafts: "stop", routes: "id" };
let opened = null;

function open() {
  opened ??= new Promise((resolve, reject) => {
    const asked = indexedDB.open(NAME, 1);
    asked.onupgradeneeded = () => {
      for (const [table, keyPath] of Object.entries(KEYS)) {
        asked.result.createObjectStore(table, { keyPath });
      }
    };
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => reject(new Error("blocked"));
  });
  return opened;
}

// Resolves when it is on the disk, not when it was merely asked for.
async function within(table, mode, act) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const done = database.transaction(table, mode);
    const asked = act(done.objectStore(table));
    done.oncomplete = () => resolve(asked.result);
    done.onerror = done.onabort = () => reject(done.error);
  });
}

const inDatabase = {
  put: (table, row) => within(table, "readwrite", (rows) => rows.put(row)),
  all: (table) => within(table, "readonly", (rows) => rows.getAll()),
  remove: (table, key) => within(table, "readwrite", (rows) => rows.delete(key)),
  photos: true,
};

const asText = {
  put: async (table, row) =>
    localStorage.setItem(`${NAME}-${table}-${row[KEYS[table]]}`, JSON.stringify({ ...row, photos: [] })),
  all: async (table) =>
    Object.keys(localStorage)
      .filter((key) => key.startsWith(`${NAME}-${table}-`))
      .map((key) => JSON.parse(localStorage.getItem(key))),
  remove: async (table, key) => localStorage.removeItem(`${NAME}-${table}-${key}`),
  photos: false,
};

let chosen = null;

export function store() {
  chosen ??= (async () => {
    try {
      await open();
      navigator.storage?.persist?.().catch(() => {}); // so that the browser does not tidy it away
      return inDatabase;
    } catch {
      return asText;
    }
  })();
  return chosen;
}
