// The worker as functions: every call is a promise.

export class Engine {
  constructor() {
    this.waiting = new Map();
    this.last = 0;
    this.worker = new Worker(new URL('./worker.js', import.meta.url));
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const call = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      event.preventDefault();
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || 'the worker could not be started'));
      this.waiting.clear();
    };
  }

  call(name, given, transferred = []) {
    this.last += 1;
    const id = this.last;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, call: name, given }, transferred);
    });
  }

  start(base, site) { return this.call('start', [base, site]); }
  open(number) { return this.call('open', [number]); }
  look(number, bitmap, which) { return this.call('look', [number, bitmap, which], [bitmap]); }
  checkDetector(key, which) { return this.call('checkDetector', [key, which]); }
  needed() { return this.call('needed', []); }
  benchmark(number, threads, seconds) { return this.call('benchmark', [number, threads, seconds]); }
}
