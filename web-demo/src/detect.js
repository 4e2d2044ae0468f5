// A first guess of the clouds from red, green and blue: bright, white, and hazier than the ground.
//
// The haze-optimised transform HOT = blue - red / 2 (Zhu & Woodcock 2012, eq. 3) is large under
// clouds and haze whatever the ground's colour. The clearest pixels of the window say what it is
// without; what lies far enough above, bright and not coloured, is cloud. Shadows are not found.

/** Reflectance 1 in stored units: Sentinel-2 digital numbers; pictures show 0.275 as white. */
function unit(kind, bands) {
  if (kind.name === "uint8") return 255 / 0.275;
  if (kind.format !== 3) return 10000;
  let sum = 0;
  let count = 0;
  for (let i = 0; i < bands[0].length; i += 97) {
    if (Number.isFinite(bands[0][i])) { sum += bands[0][i]; count += 1; }
  }
  return sum / Math.max(count, 1) > 2 ? 10000 : 1;
}

/**
 * A mask (1 = cloud) of [red, green, blue].
 * @param {number} sensitivity 1 (only thick clouds) to 9 (thin haze too)
 */
export function detectClouds([red, green, blue], valid, { kind, width, height, sensitivity = 5, growPx = 3 }) {
  const one = unit(kind, [green]);
  const pixels = width * height;
  const hot = new Float32Array(pixels);
  const seen = [];
  for (let i = 0; i < pixels; i += 1) {
    hot[i] = (blue[i] - red[i] / 2) / one;
    if (valid[i] && i % 7 === 0) seen.push(hot[i]);
  }
  const clear = Float32Array.from(seen).sort()[Math.floor(seen.length * 0.2)] ?? 0;
  const above = 0.002 * 2 ** ((9 - sensitivity) * 0.6) + 0.002;
  const bright = 0.085 + 0.005 * (9 - sensitivity);
  const flags = new Uint8Array(pixels);
  for (let i = 0; i < pixels; i += 1) {
    const mean = (red[i] + green[i] + blue[i]) / (3 * one);
    const colour = [red, green, blue].reduce((sum, band) => sum + Math.abs(band[i] / one - mean), 0) / mean;
    flags[i] = valid[i] && hot[i] - clear > above && mean > bright && colour < 0.7 ? 1 : 0;
  }
  return dilate(majority(flags, width, height), width, height, growPx);
}

/** Single pixels go, single holes close: the majority of 3 x 3. */
function majority(flags, width, height) {
  const out = new Uint8Array(flags.length);
  for (let r = 0; r < height; r += 1) {
    for (let c = 0; c < width; c += 1) {
      let [sum, count] = [0, 0];
      for (let y = Math.max(r - 1, 0); y <= Math.min(r + 1, height - 1); y += 1) {
        for (let x = Math.max(c - 1, 0); x <= Math.min(c + 1, width - 1); x += 1) {
          sum += flags[y * width + x];
          count += 1;
        }
      }
      out[r * width + c] = 2 * sum > count ? 1 : 0;
    }
  }
  return out;
}

/** The mask grown by `px` pixels in rows and columns. */
export function dilate(flags, width, height, px) {
  if (px <= 0) return flags;
  const pass = (from, lines, length, lineStep, step) => {
    const out = new Uint8Array(from.length);
    for (let line = 0; line < lines; line += 1) {
      let reach = -1; // last place the mask reaches to
      const at = (i) => line * lineStep + i * step;
      for (let i = 0, ahead = 0; i < length; i += 1) {
        for (; ahead <= Math.min(i + px, length - 1); ahead += 1) if (from[at(ahead)]) reach = ahead + px;
        if (i <= reach) out[at(i)] = 1;
      }
    }
    return out;
  };
  const rows = pass(flags, height, width, width, 1);
  return pass(rows, width, height, 1, width);
}
