// Where a device keeps what must outlive the page. Keys are strings; a list comes in the order of its keys.

/** @typedef {import("./duologue.d.ts").Store} Store */

const VALUES = "values";

/**
 * A store in IndexedDB; where the browser has none, or refuses it, one in memory.
 *
 * @param {string} name of the database
 * @returns {Store}
 */
export function indexedDbStore(name) {
  const database = new Database(name);
  const memory = memoryStore(); // for a private window, or a full disk: it lasts as long as the page
  return {
    get: async (key) => (await memory.get(key)) ?? (await database.read((values) => values.get(key))),
    set: async (key, value) => {
      await memory.delete(key);
      if (!(await database.write((values) => values.put(value, key)))) await memory.set(key, value);
    },
    delete: async (key) => {
      await memory.delete(key);
      await database.write((values) => values.delete(key));
    },
    list: async (prefix) => {
      const kept = await memory.list(prefix);
      return [...((await database.read((values) => values.getAll(within(prefix)))) ?? []), ...kept];
    },
    clear: async (prefix = "") => {
      await memory.clear(prefix);
      await database.write((values) => values.delete(within(prefix)));
    },
  };
}

/** A database of the browser, which may not be there, or may refuse. */
class Database {
  #name;
  /** @type {Promise<IDBDatabase> | undefined} */
  #opening;

  /** @param {string} name */
  constructor(name) {
    this.#name = name;
  }

  /** What was asked for; undefined if it can't be read. @param {(values: IDBObjectStore) => IDBRequest} ask */
  async read(ask) {
    try {
      return await this.#run("readonly", ask);
    } catch {
      return undefined;
    }
  }

  /** Whether a change is on the disk. @param {(values: IDBObjectStore) => IDBRequest} change */
  async write(change) {
    try {
      await this.#run("readwrite", change);
      return true;
    } catch {
      return false;
    }
  }

  /** @param {IDBTransactionMode} mode @param {(values: IDBObjectStore) => IDBRequest} act */
  async #run(mode, act) {
    const transaction = (await this.#open()).transaction(VALUES, mode, { durability: "strict" });
    const request = act(transaction.objectStore(VALUES));
    await new Promise((done, fail) => {
      transaction.oncomplete = done;
      transaction.onabort = () => fail(transaction.error);
      transaction.onerror = () => fail(transaction.error);
    });
    return request.result;
  }

  #open() {
    this.#opening ??= open(this.#name, () => {
      this.#opening = undefined;
    });
    return this.#opening;
  }
}

/**
 * A store that ends with the page.
 *
 * @returns {Store}
 */
export function memoryStore() {
  /** @type {Map<string, any>} */
  const values = new Map();
  return {
    get: async (key) => values.get(key),
    set: async (key, value) => void values.set(key, value),
    delete: async (key) => void values.delete(key),
    list: async (prefix) =>
      [...values.keys()]
        .filter((key) => key.startsWith(prefix))
        .sort()
        .map((key) => values.get(key)),
    clear: async (prefix = "") => {
      for (const key of [...values.keys()]) if (key.startsWith(prefix)) values.delete(key);
    },
  };
}

const within = (/** @type {string} */ prefix) => IDBKeyRange.bound(prefix, `${prefix}\uffff`);

/** @param {string} name @param {() => void} lost @returns {Promise<IDBDatabase>} */
function open(name, lost) {
  return new Promise((done, fail) => {
    const request = indexedDB.open(name, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(VALUES);
    request.onerror = () => fail(request.error);
    request.onsuccess = () => {
      request.result.onversionchange = () => request.result.close();
      request.result.onclose = lost;
      done(request.result);
    };
  });
}
