// After a visit the page works without the network. The network comes first, so that no old file hides a new one.
//
// Another app may be served at this address later. So every navigation asks whether the demo is still there; if
// something else answers, this worker removes itself and its files, and leaves the app's answers untouched.

const KIND = 'keras-faceattr demo';
const INDEX = 'data/demo.json';
// One host may hold several demos, each in its own folder.
const PREFIX = `${KIND} ${self.registration.scope} `;

const OF_EARLIER_RELEASES = 'keras-faceattr-demo';

// Whether the demo is what answers here: undefined until it has been asked for, null where the network is gone.
let present;

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

self.addEventListener('message', (event) => {
  const { data, source } = event;
  const reply = (work, said) => event.waitUntil(work.then(() => true, () => false).then((done) => source.postMessage({ [said]: done })));
  // The page says what it needs once it runs: other builds of the runtime are not worth their megabytes.
  if (data?.call === 'keep') reply(keep(data), 'kept');
  if (data?.call === 'remove') reply(remove(), 'removed');
});

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (present === false || request.method !== 'GET' || !request.url.startsWith(self.registration.scope)) return;
  event.respondWith(answer(request));
});

async function answer(request) {
  const checked = check(request.mode === 'navigate');
  try {
    const response = await fetch(request);
    return (await checked) ? isolated(response) : response;
  } catch (error) {
    await checked;
    return offline(request, error);
  }
}

// Asks the network what it serves, at every navigation and where this worker has just been started.
function check(again) {
  if (again || !check.asked) {
    check.asked = readIndex().then((index) => {
      present = index && index.kind === KIND;
      if (present === null) check.asked = null;
      return present === false ? remove().then(() => false) : present;
    });
  }
  return check.asked;
}

// What the site says of itself; null where nothing answers.
async function readIndex() {
  let response;
  try {
    response = await fetch(new URL(INDEX, self.registration.scope), { cache: 'no-store' });
  } catch {
    return null;
  }
  return (response.ok && (await response.json().catch(() => null))) || {};
}

// Files of one version, all or none of them.
async function keep({ urls, version }) {
  const index = await readIndex();
  if (index?.kind !== KIND || index.version !== version) throw new Error('another site is served by now');
  const name = PREFIX + version;
  const wanted = new Set(urls.map((url) => new URL(url, self.registration.scope).href));
  const cache = await caches.open(name);
  try {
    await cache.addAll([...wanted].map((url) => new Request(url, { cache: 'no-cache' })));
  } catch (error) {
    await caches.delete(name);
    throw error;
  }
  await forget(name);
}

// Deletes what this worker has kept, except one cache.
async function forget(except) {
  const own = (name) => name.startsWith(PREFIX) || name === OF_EARLIER_RELEASES;
  const names = (await caches.keys()).filter((name) => own(name) && name !== except);
  await Promise.all(names.map((name) => caches.delete(name)));
}

async function remove() {
  present = false;
  await self.registration.unregister();
  await forget();
}

async function offline(request, error) {
  const url = new URL(request.url);
  url.search = url.hash = '';
  if (url.pathname.endsWith('/')) url.pathname += 'index.html';
  for (const name of await caches.keys()) {
    const kept = name.startsWith(PREFIX) && (await (await caches.open(name)).match(url.href));
    if (kept) return isolated(kept);
  }
  throw error;
}

// A static host may not send the headers that threads need.
function isolated(response) {
  if (response.type !== 'basic' || response.status === 304 || !response.body) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
