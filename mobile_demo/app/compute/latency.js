// Times of a call: warm-up, then runs until the median is known well enough.

const WARM_UP = 3;
// Browsers round their clocks: a sample takes at least this many steps of the clock, in as many calls as that needs.
const STEPS = 20;
const FEWEST = 15;
const MOST = 2000;
const MOST_CALLS = 100;
const TIGHT = 0.03;
const BUSY = 0.25;

// {p50_ms, p90_ms, low_ms, high_ms, runs, busy}: low and high are the 95 % interval of the median. p90_ms is of single
// calls: null where the clock is too coarse to time one, so that a sample is the mean of several.
export async function measure(call, seconds, clock = () => performance.now()) {
  const sample = async (calls) => {
    const start = clock();
    for (let i = 0; i < calls; i++) await call();
    return (clock() - start) / calls;
  };
  await sample(WARM_UP);
  const warm = await sample(WARM_UP);
  const shortest = STEPS * step(clock);
  const calls = Math.min(MOST_CALLS, Math.max(1, Math.ceil(shortest / Math.max(warm, shortest / MOST_CALLS))));
  const times = [];
  const end = clock() + 1000 * seconds;
  while (times.length < MOST && (times.length < FEWEST || (clock() < end && !isTight(times)))) times.push(await sample(calls));
  return { ...summary(times), ...(calls > 1 && { p90_ms: null }) };
}

// The smallest of a few steps of the clock.
function step(clock) {
  const steps = [1, 2, 3].map(() => {
    const start = clock();
    let now = start;
    while (now === start) now = clock();
    return now - start;
  });
  return Math.min(...steps);
}

function summary(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const p50 = quantile(sorted, 0.5);
  const p90 = quantile(sorted, 0.9);
  const [low, high] = interval(sorted);
  return { p50_ms: p50, p90_ms: p90, low_ms: low, high_ms: high, runs: sorted.length, busy: p90 > (1 + BUSY) * p50 };
}

function isTight(times) {
  if (times.length % 10) return false;
  const { p50_ms: p50, low_ms: low, high_ms: high } = summary(times);
  return high - low <= TIGHT * p50;
}

function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const low = Math.floor(place);
  const next = sorted[Math.min(low + 1, sorted.length - 1)];
  return sorted[low] + (place - low) * (next - sorted[low]);
}

// By order statistics: how many of n runs lie below the median is binomial.
function interval(sorted) {
  const n = sorted.length;
  const half = 0.98 * Math.sqrt(n);
  const low = Math.max(0, Math.floor(n / 2 - half) - 1);
  const high = Math.min(n - 1, Math.ceil(n / 2 + half));
  return [sorted[low], sorted[high]];
}
