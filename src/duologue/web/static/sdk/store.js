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
  /** @type {Promise<IDBDatabase> | undefined} */
  let opening;
  const memory = memoryStore();

  /**
   * @param {IDBTransactionMode} mode
   * @param {(values: IDBObjectStore) => IDBRequest} act
   */
  async function run(mode, act) {
    opening ??= open(name, () => (opening = undefined));
    const transaction = (await opening).transaction(VALUES, mode, { durability: "strict" });
    const request = act(transaction.objectStore(VALUES));
    await new Promise((done, fail) => {
      transaction.oncomplete = done;
      transaction.onabort = transaction.onerror = () => fail(transaction.error);
    });
    return request.result;
  }

  /** @param {() => Promise<any>} there @param {() => Promise<any>} here */
  async function either(there, here) {
    try {
      return await there();
    } catch {
      return here(); // a private window, or a full disk: it lasts as long as the page
    }
  }

  return {
    get: async (key) =>
      (await memory.get(key)) ??
      either(
        () => run("readonly", (values) => values.get(key)),
        async () => undefined,
      ),
    set: async (key, value) => {
      await memory.delete(key);
      await either(
        () => run("readwrite", (values) => values.put(value, key)),
        () => memory.set(key, value),
      );
    },
    delete: async (key) => {
      await memory.delete(key);
      await either(
        () => run("readwrite", (values) => values.delete(key)),
        async () => {},
      );
    },
    list: async (prefix) => {
      const kept = await memory.list(prefix);
      return [
        ...(await either(
          () => run("readonly", (values) => values.getAll(within(prefix))),
          async () => [],
        )),
        ...kept,
      ];
    },
    clear: async (prefix = "") => {
      await memory.clear(prefix);
      await either(
        () => run("readwrite", (values) => values.delete(within(prefix))),
        async () => {},
      );
    },
  };
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
