// LiteRT.js in this worker: one runtime, and a model as a function from numbers to numbers.

import * as litert from '../../vendor/litert/core.js';

const FILES = {
  threaded: 'litert_wasm_threaded_internal',
  single: 'litert_wasm_internal',
  compat: 'litert_wasm_compat_internal',
};

// Loads the fastest build that this browser runs: {build, files}.
export async function loadRuntime(folder) {
  const simd = await litert.supportsFeature('relaxedSimd');
  const threads = simd && self.crossOriginIsolated && (await litert.supportsFeature('threads'));
  const build = threads ? 'threaded' : simd ? 'single' : 'compat';
  // In a worker the script cannot tell where it came from: neither its wasm nor its threads would be found.
  self.Module = {
    locateFile: (name) => new URL(name, folder).href,
    mainScriptUrlOrBlob: new URL(`${FILES[build]}.js`, folder).href,
    // The runtime tells its news as errors.
    printErr: (line) => (/^(INFO|WARNING|VERBOSE):/.test(line) ? console.debug(line) : console.error(line)),
  };
  await litert.loadLiteRt(folder.href, { threads });
  return { build, files: [`${FILES[build]}.js`, `${FILES[build]}.wasm`] };
}

const ARRAYS = { uint8: Uint8Array, float32: Float32Array, int32: Int32Array };

export class Net {
  static async load(bytes, threads) {
    const model = await litert.loadAndCompile(bytes, { accelerator: 'wasm', cpuOptions: { numThreads: threads } });
    return new Net(model);
  }

  constructor(model) {
    this.model = model;
    const inputs = model.getInputDetails();
    if (inputs.length !== 1) throw new Error(`the file takes ${inputs.length} inputs, not one`);
    [this.input] = inputs;
    this.shape = Array.from(this.input.shape);
    this.length = this.shape.reduce((a, b) => a * b, 1);
    this.Data = ARRAYS[this.input.dtype];
  }

  // `numbers`: as many as the input has; returns {name: typed array}.
  async run(numbers) {
    if (numbers.length !== this.length) throw new Error(`the file takes ${this.length} numbers, not ${numbers.length}`);
    const input = new litert.Tensor(new this.Data(numbers), this.shape);
    let outputs = {};
    try {
      outputs = await this.model.run({ [this.input.name]: input });
      const found = {};
      for (const [name, tensor] of Object.entries(outputs)) found[name] = (await tensor.data()).slice();
      return found;
    } finally {
      // The runtime's memory is not the garbage collector's.
      input.delete();
      for (const tensor of Object.values(outputs)) tensor.delete();
    }
  }
}
