// Keeps this release of the page for when there is no network.
//
// The page is asked for anew each time, so it is never an old one while the server can be reached. It names its parts
// by their release, and each release is kept whole: what is shown without a network belongs together.

/** @type {ServiceWorkerGlobalScope} */
const worker = /** @type {any} */ (self);
// The server writes these two lines anew.
const RELEASE = "{release}";
const PARTS = ["{parts}"];

const CACHE = `duologue-${RELEASE}`;
const PAGE = "/";
const ICON = "/docs/icon.svg";
const PATIENCE = 4000; // milliseconds for the page, before the one kept is shown

worker.addEventListener("install", (event) => {
  event.waitUntil(keep().then(() => worker.skipWaiting()));
});

worker.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => worker.clients.claim()));
});

worker.addEventListener("fetch", (event) => {
  const { request } = event;
  const { origin, pathname } = new URL(request.url);
  if (request.method !== "GET" || origin !== location.origin) return;
  if (pathname === PAGE) event.respondWith(page());
  else if (PARTS.includes(pathname) || pathname === ICON) event.respondWith(part(request));
});

async function keep() {
  const cache = await caches.open(CACHE);
  const page = await fetch(PAGE, { cache: "no-cache" });
  // The server changed its release between two requests: the browser will try to install this again.
  if (!(await page.clone().text()).includes(`/app/${RELEASE}/`)) throw new Error("the page is of another release");
  await cache.put(PAGE, page);
  await cache.addAll([...PARTS, ICON]);
}

async function forgetOthers() {
  for (const name of await caches.keys()) if (name !== CACHE) await caches.delete(name);
}

async function page() {
  try {
    const answer = await fetch(PAGE, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
    if (answer.ok) return answer;
  } catch {
    // There is no network, or it is too slow.
  }
  return (await caches.match(PAGE)) ?? Response.error();
}

/** @param {Request} request */
async function part(request) {
  return (await caches.match(request)) ?? fetch(request);
}
