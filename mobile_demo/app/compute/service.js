// What the page asks of the worker: open files, look at pictures, measure.

import { checkSpec, chosen, cropPhoto, needsFace, seenPart } from './crop.js';
import { Detector } from './detector.js';
import { replayCrops, replayDetector, replayPhotos } from './golden.js';
import { measure } from './latency.js';
import { loadRuntime, Net } from './litert.js';
import { decode } from './outputs.js';

const RUNTIME = 'vendor/litert/wasm/';
const THREADS_AT_MOST = 4;

export class Service {
  constructor() {
    this.entries = new Map();
    this.kept = new Map();
    this.used = new Set();
    this.canvas = new OffscreenCanvas(1, 1);
    this.small = new OffscreenCanvas(1, 1);
  }

  // `base`: address of the page's folder. {build, cores, threads}
  async start(base, site) {
    this.base = base;
    this.site = site;
    const { build, files } = await loadRuntime(new URL(RUNTIME, base));
    for (const name of files) this.used.add(RUNTIME + name);
    const cores = navigator.hardwareConcurrency || 1;
    this.threads = build === 'threaded' ? Math.min(THREADS_AT_MOST, cores) : 1;
    return { build, cores, threads: this.threads };
  }

  // Loads an artifact and replays its golden crops; then its golden photos. Nothing is predicted by one that fails.
  async open(number) {
    const about = this.site.artifacts[number];
    const sidecar = await this.json(about.sidecar);
    checkSpec(sidecar.crop);
    const bytes = await this.bytes(about.model);
    if (bytes.length !== sidecar.file.bytes) throw new Error('the file is damaged: it has another length than its sidecar says');
    const net = await this.net(number, bytes, this.threads);
    const golden = (name) => about.golden + name;
    const entry = { about, sidecar, bytes, net, golden, json: (name) => this.json(golden(name)) };
    const crops = await replayCrops(entry, (url) => this.picture(url));
    const detector = await this.detector(about.detector, 'photo');
    entry.template = detector.info.template;
    let photos = null;
    if (crops.verified) {
      photos = await replayPhotos(entry, (url) => this.picture(url), (pixels) => this.answer(entry, detector, pixels));
    }
    entry.verified = crops.verified && photos.verified;
    this.entries.set(number, entry);
    return { number, name: about.name, notices: sidecar.notices, crops, photos, verified: entry.verified };
  }

  // How near the detector comes to Python's on its own golden photos.
  async checkDetector(key, which) {
    const folder = `${this.site.detectors[key][which]}golden/`;
    const detector = await this.detector(key, which);
    return replayDetector(detector, await this.json(`${folder}expected.json`), (name) => this.picture(folder + name));
  }

  // The one face that training would choose; null where the crop needs none, or there is none.
  async choose(entry, detector, pixels) {
    const { crop } = entry.sidecar;
    if (!needsFace(crop)) return null;
    return chosen(await this.faces(detector, pixels), pixels, crop.face)[0] ?? null;
  }

  // That face with what the file says, for golden photos; null where it is missing.
  async answer(entry, detector, pixels) {
    const face = await this.choose(entry, detector, pixels);
    if (needsFace(entry.sidecar.crop) && !face) return null;
    return { face, raw: await entry.net.run(cropPhoto(entry.sidecar.crop, pixels, face, entry.template).data) };
  }

  // What an artifact says about a picture: {width, height, faces: [{number, box, score, points, readings}], whole, times}.
  // `whole`: {part, readings} of a crop that needs no face, or of the fallback where no face is found.
  async look(number, bitmap, which) {
    const entry = this.verifiedEntry(number);
    const start = performance.now();
    const pixels = this.read(bitmap);
    bitmap.close();
    const detector = await this.detector(entry.about.detector, which);
    const read = performance.now();
    const faces = (await this.faces(detector, pixels)).map((face, i) => ({ ...face, number: i + 1 }));
    const times = { read: read - start, detection: performance.now() - read, crop: 0, model: 0 };
    const { crop } = entry.sidecar;
    const predict = async (spec, face) => {
      const before = performance.now();
      const input = cropPhoto(spec, pixels, face, entry.template);
      const between = performance.now();
      const raw = input && (await entry.net.run(input.data));
      times.crop += between - before;
      times.model += performance.now() - between;
      return raw && decode(entry.sidecar, raw, entry.about.tasks);
    };
    if (needsFace(crop)) for (const face of faces) face.readings = await predict(crop, face);
    const instead = { ...crop, method: needsFace(crop) ? crop.fallback : crop.method };
    const isWhole = instead.method && !faces.some((face) => face.readings);
    const whole = isWhole ? { part: seenPart(instead, pixels), readings: await predict(instead, null) } : null;
    return { width: pixels.width, height: pixels.height, faces, whole, times };
  }

  // One row of the benchmark: an artifact on a number of threads.
  async benchmark(number, threads, seconds) {
    const entry = this.verifiedEntry(number);
    const [name] = Object.keys(await entry.json('photos.json'));
    const blob = await (await this.fetched(entry.golden(name))).blob();
    const bitmap = await bitmapOf(blob);
    const net = await this.net(number, entry.bytes, threads);
    const detector = await this.detector(entry.about.detector, 'live', threads);
    try {
      const pixels = this.read(bitmap);
      const { crop } = entry.sidecar;
      const find = () => this.choose(entry, detector, pixels);
      const face = await find();
      if (needsFace(crop) && !face) throw new Error('the live detector finds no face in the golden photo');
      const make = () => cropPhoto(crop, pixels, face, entry.template);
      const input = make();
      const parts = {
        model: await measure(() => net.run(input.data), seconds),
        detection: needsFace(crop) ? await measure(find, seconds) : null,
        crop: await measure(make, seconds),
        end_to_end: await measure(async () => {
          const seen = this.read(bitmap);
          const found = await this.choose(entry, detector, seen);
          decode(entry.sidecar, await net.run(cropPhoto(crop, seen, found, entry.template).data), entry.about.tasks);
        }, seconds),
      };
      const { file, recipe } = entry.sidecar;
      const photo = `${bitmap.width} x ${bitmap.height}`;
      return { file: file.name, sha256: file.sha256, recipe, threads, verified: entry.verified, photo, parts };
    } finally {
      bitmap.close();
    }
  }

  verifiedEntry(number) {
    const entry = this.entries.get(number);
    if (!entry?.verified) throw new Error('this file is not verified in this browser: it predicts nothing here');
    return entry;
  }

  // Faces in pixels of the picture; the detector looks at a smaller one where the picture is larger than its own.
  async faces(detector, pixels) {
    const scale = Math.min(1, detector.side.width / Math.max(pixels.width, pixels.height));
    if (scale === 1) return detector.detect(pixels);
    const [width, height] = [pixels.width, pixels.height].map((side) => Math.max(1, Math.round(side * scale)));
    const found = await detector.detect(this.shrunk(pixels, width, height));
    const [x, y] = [pixels.width / width, pixels.height / height];
    return found.map(({ box, score, points }) => ({
      box: box.map((edge, i) => edge * (i % 2 ? y : x)),
      score,
      // (0, 0) is the middle of the first pixel.
      points: points.map(([u, v]) => [(u + 0.5) * x - 0.5, (v + 0.5) * y - 0.5]),
    }));
  }

  shrunk(pixels, width, height) {
    this.small.width = width;
    this.small.height = height;
    const context = this.small.getContext('2d', { willReadFrequently: true });
    context.imageSmoothingQuality = 'high';
    // The picture that was read last is still on the canvas.
    context.drawImage(this.canvas, 0, 0, pixels.width, pixels.height, 0, 0, width, height);
    return context.getImageData(0, 0, width, height);
  }

  read(bitmap) {
    const { width, height } = bitmap;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const context = this.canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(bitmap, 0, 0);
    return context.getImageData(0, 0, width, height);
  }

  async picture(url) {
    const bitmap = await bitmapOf(await (await this.fetched(url)).blob());
    const pixels = this.read(bitmap);
    bitmap.close();
    return pixels;
  }

  net(number, bytes, threads) {
    return this.once(`net ${number} ${threads}`, () => Net.load(bytes, threads));
  }

  detector(key, which, threads = this.threads) {
    return this.once(`detector ${key} ${which} ${threads}`, () => this.loadDetector(key, which, threads));
  }

  // What was loaded stays: to delete a model of several threads never ends in LiteRT.js 2.5.
  once(name, load) {
    if (!this.kept.has(name)) this.kept.set(name, load());
    return this.kept.get(name);
  }

  async loadDetector(key, which, threads) {
    const folder = this.site.detectors[key][which];
    const info = await this.json(`${folder}detector.json`);
    if (info.format !== 1) throw new Error(`detector.json of format ${info.format} is newer than this page`);
    const nets = {};
    for (const [name, { file, sha256 }] of Object.entries(info.nets)) {
      // Detectors for photos of other sizes share two of their nets.
      nets[name] = await this.once(`net ${sha256} ${threads}`, async () => Net.load(await this.bytes(folder + file), threads));
    }
    return new Detector(info, nets);
  }

  // Addresses of all that this page needed, with both detectors: what it needs without the network.
  async needed() {
    for (const key of Object.keys(this.site.detectors)) {
      for (const which of Object.keys(this.site.detectors[key])) await this.detector(key, which);
    }
    return [...this.used];
  }

  async fetched(url) {
    this.used.add(url);
    const response = await fetch(new URL(url, this.base));
    if (!response.ok) throw new Error(`${url} is missing (${response.status}): serve the whole folder of the demo`);
    return response;
  }

  async json(url) {
    const text = await (await this.fetched(url)).text();
    try {
      return JSON.parse(text);
    } catch {
      throw new Error(`${url} is damaged: no JSON`);
    }
  }

  async bytes(url) {
    return new Uint8Array(await (await this.fetched(url)).arrayBuffer());
  }
}

// The numbers in the file, not those of the screen's colours.
function bitmapOf(blob) {
  return createImageBitmap(blob, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
}
