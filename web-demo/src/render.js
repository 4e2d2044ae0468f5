// Values to colours: one stretch for before, after and the previews between.

/** Low and high of a band between percentiles of the pixels marked in `use` (or of all). */
export function stretchOf(values, use, tail) {
  const step = Math.max(1, Math.floor(values.length / 200000));
  const seen = [];
  for (let i = 0; i < values.length; i += step) {
    if (use[i] && Number.isFinite(values[i])) seen.push(values[i]);
  }
  if (seen.length === 0) return [0, 1];
  const sorted = Float64Array.from(seen).sort();
  const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
  const [low, high] = [at(tail), at(1 - tail)];
  return high > low ? [low, high] : [low, low + 1];
}

/** RGBA of three bands; pixels that are not data are transparent. */
export function toRgba(bands, stretch, valid) {
  const pixels = bands[0].length;
  const rgba = new Uint8ClampedArray(pixels * 4);
  bands.forEach((band, b) => {
    const [low, high] = stretch[b];
    const scale = 255 / (high - low);
    for (let i = 0, at = b; i < pixels; i += 1, at += 4) rgba[at] = (band[i] - low) * scale;
  });
  for (let i = 0; i < pixels; i += 1) rgba[i * 4 + 3] = valid && !valid[i] ? 0 : 255;
  return rgba;
}

// Dark violet to yellow: five colours of viridis, told apart by everybody.
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];

/** RGBA of an uncertainty relative to `full`; transparent where 0. */
export function heat(values, full) {
  const rgba = new Uint8ClampedArray(values.length * 4);
  for (let i = 0; i < values.length; i += 1) {
    if (values[i] <= 0) continue;
    const t = Math.min(values[i] / full, 1) * (RAMP.length - 1);
    const k = Math.min(Math.floor(t), RAMP.length - 2);
    for (let c = 0; c < 3; c += 1) {
      rgba[i * 4 + c] = RAMP[k][c] + (RAMP[k + 1][c] - RAMP[k][c]) * (t - k);
    }
    rgba[i * 4 + 3] = 215;
  }
  return rgba;
}

/** RGBA of the provenance classes: nothing, observed, filled. */
export function classes(provenance) {
  const colours = { 0: [90, 90, 90, 200], 1: [38, 125, 225, 70], 2: [245, 110, 30, 170] };
  const rgba = new Uint8ClampedArray(provenance.length * 4);
  provenance.forEach((value, i) => rgba.set(colours[value], i * 4));
  return rgba;
}
