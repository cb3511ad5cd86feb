// The page: opens the files that it was given, checks them, and hands them to the three views.

import { byId, element } from './draw.js';
import { Engine } from './engine.js';
import { Benchmark, device } from './views/benchmark.js';
import { Live } from './views/live.js';
import { Photo } from './views/photo.js';

class App {
  constructor() {
    this.opened = [];
    this.engine = new Engine();
    this.live = new Live(this);
    this.photo = new Photo(this);
    this.benchmark = new Benchmark(this);
    tabs();
  }

  async start() {
    const status = byId('status');
    if (typeof WebAssembly !== 'object') throw new Error('this browser has no WebAssembly, without which nothing can be computed');
    this.site = await readSite();
    status.textContent = 'Loading the runtime …';
    this.runtime = await this.engine.start(new URL('.', location.href).href, this.site);
    const select = byId('artifact');
    select.onchange = () => this.choose(Number(select.value));
    for (const [number, { name }] of this.site.artifacts.entries()) {
      status.textContent = `Checking ${name} …`;
      const opened = await this.engine.open(number).catch((error) => ({ number, name, verified: false, error: error.message }));
      this.opened.push(opened);
      select.append(element('option', { value: number, textContent: name }));
      byId('choice').hidden = this.opened.length < 2;
    }
    const good = this.opened.filter((one) => one.verified).length;
    status.textContent = `${good} of ${this.opened.length} file${this.opened.length > 1 ? 's' : ''} verified · LiteRT.js `
      + `${this.site.litert}, ${this.runtime.threads} thread${this.runtime.threads > 1 ? 's' : ''} of ${this.runtime.cores} cores`;
    const first = this.opened.find((one) => one.verified) ?? this.opened[0];
    select.value = String(first.number);
    this.choose(first.number);
    this.benchmark.enable();
    const { user_agent: agent, isolated } = await device();
    byId('device').textContent = `${agent}${isolated ? '' : ' · no threads: the page is not isolated'}`;
  }

  choose(number) {
    const one = this.opened.find((each) => each.number === number);
    this.current = one.verified ? one : null;
    const verdict = byId('verdict');
    verdict.hidden = false;
    verdict.className = `verdict ${one.verified ? 'good' : 'bad'}`;
    const [title, text] = verdictOf(one);
    verdict.firstChild.textContent = title;
    verdict.lastChild.textContent = text;
    byId('notices').replaceChildren(...(one.notices ?? []).map((text) => element('li', { textContent: text })));
    this.live.clear();
    if (!this.current) this.live.stop();
    for (const view of [this.live, this.photo]) view.enable();
  }
}

async function readSite() {
  const response = await fetch('data/demo.json');
  if (!response.ok) throw new Error(`data/demo.json is missing (${response.status}): serve this folder with keras-faceattr demo`);
  const site = await response.json().catch(() => null);
  if (site?.format !== 2 || !site.artifacts?.length) throw new Error('data/demo.json is damaged, or of another version than this page');
  return site;
}

const percent = (share) => `${(100 * share).toFixed(2)} %`;

// A title and what was measured.
function verdictOf({ error, crops, photos }) {
  if (error) return ['Not opened', error];
  const refused = 'Not verified: it predicts nothing here';
  const size = Number.isFinite(crops.worst) ? `differ from Python by ${crops.worst.toPrecision(2)} of what is allowed` : 'give no number';
  const alone = `The outputs of ${crops.crops} golden crops ${size}.`;
  if (!crops.verified) return [refused, alone];
  const whole = `${photos.found} of ${photos.photos} whole photos give the same face: boxes overlap by `
    + `${(100 * photos.iou).toFixed(1)} % or more, points lie within ${photos.points.toFixed(2)} pixels, `
    + `corners of crops within ${percent(photos.crop)} of the side. Cut where Python cut, outputs are within `
    + `${percent(photos.change)} of their range; where the face was found here, within ${percent(photos.moved)}.`;
  return [photos.verified ? 'Verified: the same numbers as Python' : refused, `${alone} ${whole}`];
}

function tabs() {
  const all = [...document.querySelectorAll('[role=tab]')];
  const show = (tab) => {
    for (const each of all) {
      const chosen = each === tab;
      each.setAttribute('aria-selected', String(chosen));
      each.tabIndex = chosen ? 0 : -1;
      byId(each.getAttribute('aria-controls')).hidden = !chosen;
    }
  };
  all.forEach((tab, i) => {
    tab.onclick = () => show(tab);
    tab.onkeydown = ({ key }) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
      if (!step) return;
      const next = all[(i + step + all.length) % all.length];
      next.focus();
      show(next);
    };
  });
}

// Offline after the first visit, and isolated on hosts that do not send the headers for it.
async function keepOffline(app) {
  if (!navigator.serviceWorker || sessionStorage.getItem('no-copy')) return;
  const registration = await navigator.serviceWorker.register('sw.js');
  await navigator.serviceWorker.ready;
  if (!window.crossOriginIsolated && window.isSecureContext && !sessionStorage.getItem('isolating')) {
    sessionStorage.setItem('isolating', 'yes');
    location.reload();
    return;
  }
  const page = app.site.files.filter((url) => !url.startsWith('data/') && !url.includes('/wasm/'));
  const urls = [...page, ...(await app.engine.needed()), 'data/demo.json'];
  const button = byId('remove-copy');
  navigator.serviceWorker.addEventListener('message', ({ data }) => {
    if (data?.kept) document.documentElement.dataset.offline = 'ready';
    if (data?.kept) byId('copy').hidden = false;
    if (!data?.removed) return;
    delete document.documentElement.dataset.offline;
    byId('copy-status').textContent = 'Removed. This tab makes no new copy.';
  });
  button.onclick = () => {
    button.disabled = true;
    sessionStorage.setItem('no-copy', 'yes');
    registration.active.postMessage({ call: 'remove' });
  };
  registration.active.postMessage({ call: 'keep', urls, version: app.site.version });
}

const app = new App();
window.app = app;
app.start().then(() => {
  document.documentElement.dataset.state = 'ready';
  return keepOffline(app).catch(() => {});
}, (error) => {
  byId('status').textContent = `It cannot start: ${error.message}.`;
  byId('status').className = 'bad';
  document.documentElement.dataset.state = 'failed';
});
