// After the first visit the page works offline. The network comes first, so that a new file is never hidden by an old one.

const CACHE = 'keras-faceattr-demo';

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()));

// The page says what it needs once it runs: other builds of the runtime are not worth their megabytes.
self.addEventListener('message', ({ data, source }) => {
  if (data?.call === 'keep') keep(data.urls).then((kept) => source.postMessage({ kept }));
});

async function keep(urls) {
  const cache = await caches.open(CACHE);
  const wanted = new Set(urls.map((url) => new URL(url, self.registration.scope).href));
  for (const request of await cache.keys()) if (!wanted.has(request.url)) await cache.delete(request);
  const results = await Promise.allSettled([...wanted].map(async (url) => {
    const response = await fetch(url);
    if (!response.ok) throw new Error(url);
    await cache.put(url, response);
  }));
  return results.every((result) => result.status === 'fulfilled');
}

self.addEventListener('fetch', (event) => {
  const { request } = event;
  if (request.method !== 'GET' || new URL(request.url).origin !== self.location.origin) return;
  event.respondWith(answer(request));
});

async function answer(request) {
  const cache = await caches.open(CACHE);
  try {
    return isolated(await fetch(request));
  } catch (error) {
    const url = new URL(request.url);
    url.search = '';
    if (url.pathname.endsWith('/')) url.pathname += 'index.html';
    const kept = await cache.match(url.href);
    if (kept) return isolated(kept);
    throw error;
  }
}

// A static host may not send the headers that threads need.
function isolated(response) {
  if (response.type === 'opaque' || response.status === 304 || !response.body) return response;
  const headers = new Headers(response.headers);
  headers.set('Cross-Origin-Opener-Policy', 'same-origin');
  headers.set('Cross-Origin-Embedder-Policy', 'require-corp');
  headers.set('Cross-Origin-Resource-Policy', 'same-origin');
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
