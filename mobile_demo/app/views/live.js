// The camera: frames go to the worker one at a time, as fast as it answers.

import { byId, cards, drawFaces } from '../draw.js';

const LONGER_SIDE = 640;
const TEXT_EVERY_MS = 200;
const SPEED_FRAMES = 20;

const REFUSALS = {
  NotAllowedError: 'The camera was refused. Allow it in the browser’s settings for this page, or use Photo.',
  NotFoundError: 'This device has no camera. Photo works without one.',
  NotReadableError: 'The camera is used by another program. Close it, or use Photo.',
  OverconstrainedError: 'This camera has no suitable picture format. Photo works without one.',
};

export class Live {
  constructor(app) {
    this.app = app;
    this.video = byId('video');
    this.overlay = byId('overlay');
    this.facing = 'user';
    this.times = [];
    byId('camera').onclick = () => (this.stream ? this.stop() : this.start());
    byId('turn').onclick = () => this.turn();
    byId('freeze').onclick = () => this.freeze(!this.frozen);
  }

  enable() {
    byId('camera').disabled = !this.app.current;
    if (!navigator.mediaDevices?.getUserMedia) {
      byId('camera').disabled = true;
      this.say(window.isSecureContext
        ? 'This browser offers no camera. Photo works without one.'
        : 'The camera needs https or localhost: start keras-faceattr demo with --https. Photo works without a camera.');
    }
  }

  async start() {
    this.say('');
    byId('camera').disabled = true;
    await this.open();
    this.enable();
  }

  async open() {
    const wanted = { width: { ideal: 640 }, height: { ideal: 480 }, facingMode: this.facing };
    try {
      this.stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      this.say(REFUSALS[error.name] ?? `The camera cannot be opened (${error.name}). Photo works without one.`);
      return;
    }
    const [track] = this.stream.getVideoTracks();
    track.onended = () => this.fail('The camera was disconnected.');
    this.mirrored = track.getSettings().facingMode !== 'environment';
    this.video.classList.toggle('mirrored', this.mirrored);
    this.video.srcObject = this.stream;
    try {
      await this.video.play();
    } catch (error) {
      this.fail(`The camera’s picture cannot be shown (${error.name}). Photo works without one.`);
      return;
    }
    byId('stage-text').hidden = true;
    byId('camera').textContent = 'Stop camera';
    byId('turn').disabled = byId('freeze').disabled = false;
    this.freeze(false);
    this.loop();
  }

  stop() {
    this.stream?.getTracks().forEach((track) => track.stop());
    this.stream = this.video.srcObject = null;
    byId('stage-text').hidden = false;
    byId('camera').textContent = 'Start camera';
    byId('turn').disabled = byId('freeze').disabled = true;
    this.clear();
  }

  async turn() {
    this.facing = this.facing === 'user' ? 'environment' : 'user';
    this.stop();
    await this.start();
  }

  freeze(frozen) {
    this.frozen = frozen;
    const button = byId('freeze');
    button.setAttribute('aria-pressed', String(frozen));
    if (!this.stream) return;
    if (!frozen) this.video.play().catch(() => {});
    else {
      this.video.pause();
      // What is shown belongs to the frame that stands.
      this.tryFrame();
    }
  }

  // One loop per stream; both end together.
  async loop() {
    const { stream } = this;
    while (this.stream === stream) {
      if (this.frozen || document.hidden || !this.app.current || byId('live').hidden) {
        await pause(100);
        continue;
      }
      await this.tryFrame();
      // No faster than the screen.
      await new Promise(requestAnimationFrame);
    }
  }

  async tryFrame() {
    const { stream } = this;
    try {
      await this.frame(performance.now());
    } catch (error) {
      // An error after the camera was stopped is of no interest.
      if (this.stream === stream) this.fail(`The live view stopped: ${error.message}`);
    }
  }

  // Stops and says why, in this order: stopping clears the line.
  fail(reason) {
    this.stop();
    this.say(reason);
  }

  async frame(begin) {
    const { videoWidth: width, videoHeight: height } = this.video;
    if (!width) {
      await pause(30);
      return;
    }
    const scale = Math.min(1, LONGER_SIDE / Math.max(width, height));
    const size = { resizeWidth: Math.round(width * scale), resizeHeight: Math.round(height * scale) };
    const bitmap = await createImageBitmap(this.video, scale < 1 ? size : {});
    const grabbed = performance.now();
    const { stream } = this;
    const seen = await this.app.engine.look(this.app.current.number, bitmap, 'live');
    const answered = performance.now();
    if (!stream || this.stream !== stream) return;
    this.draw(seen);
    this.count({ ...seen.times, grab: grabbed - begin, draw: performance.now() - answered, frame: performance.now() - begin });
  }

  draw(seen) {
    const { overlay } = this;
    if (overlay.width !== seen.width || overlay.height !== seen.height) {
      overlay.width = seen.width;
      overlay.height = seen.height;
    }
    const context = overlay.getContext('2d');
    context.clearRect(0, 0, overlay.width, overlay.height);
    drawFaces(context, seen, this.mirrored);
    const now = performance.now();
    if (!this.frozen && now - (this.written ?? 0) < TEXT_EVERY_MS) return;
    this.written = now;
    byId('live-readings').replaceChildren(...cards(seen));
    const faces = seen.faces.length;
    this.say(faces ? `${faces} face${faces > 1 ? 's' : ''}` : 'No face found.');
  }

  count(times) {
    this.times.push({ ...times, at: performance.now() });
    if (this.times.length > SPEED_FRAMES) this.times.shift();
    const mean = (key) => this.times.reduce((sum, one) => sum + one[key], 0) / this.times.length;
    const span = this.times.at(-1).at - this.times[0].at;
    const speed = span > 0 ? (1000 * (this.times.length - 1)) / span : 0;
    const own = mean('grab') + mean('read') + mean('draw') + mean('crop');
    this.speed = { fps: speed, page_share: own / mean('frame') };
    byId('live-times').textContent = `${speed.toFixed(0)} frames/s · detection ${mean('detection').toFixed(1)} ms · `
      + `crop ${mean('crop').toFixed(1)} ms · model ${mean('model').toFixed(1)} ms · reading and drawing `
      + `${(mean('grab') + mean('read') + mean('draw')).toFixed(1)} ms`;
  }

  clear() {
    this.times = [];
    byId('live-readings').replaceChildren();
    byId('live-times').textContent = '';
    this.overlay.getContext('2d').clearRect(0, 0, this.overlay.width, this.overlay.height);
    this.say('');
  }

  say(text) {
    const line = byId('live-status');
    if (line.textContent !== text) line.textContent = text;
  }
}

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });
