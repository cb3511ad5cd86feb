// The worker in which everything is computed. A classic one, as LiteRT.js starts by importScripts; modules come by
// import(). One call after another: they share a canvas and the runtime.
'use strict';

const ready = import('./compute/service.js').then(({ Service }) => new Service());
let queue = ready;

self.onmessage = ({ data: { id, call, given } }) => {
  queue = queue.catch(() => {}).then(async () => {
    try {
      const service = await ready;
      self.postMessage({ id, result: await service[call](...given) });
    } catch (error) {
      self.postMessage({ id, error: String(error?.message ?? error) });
    }
  });
};
