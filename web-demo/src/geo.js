// Where a GeoTIFF lies: its CRS, its grid, and how one grid maps onto another.

/** Metres of a degree of latitude. */
const DEGREE_M = 111320;
/** The same from the length of a meridian: a mean over all latitudes. */
const MEAN_DEGREE_M = 111132.95;
/** Corners that lie no farther apart than this, in pixels, make one grid. */
const TOLERANCE_PX = 0.05;
/** WGS 84 (EPSG:7030), and the scale of UTM. */
const [RADIUS_M, FLATTENING, UTM_SCALE] = [6378137, 1 / 298.257223563, 0.9996];

/** What the geokeys say: { model: 1 projected | 2 geographic, epsg, own } or undefined. */
function crsOf(tag) {
  const keys = tag(34735);
  if (!keys) return undefined;
  const crs = { model: undefined, epsg: undefined, own: `${[...keys]}|${tag(34737) ?? ""}|${[...(tag(34736) ?? [])]}` };
  const known = {};
  for (let i = 4; i + 3 < keys.length; i += 4) if (keys[i + 1] === 0) known[keys[i]] = keys[i + 3];
  crs.model = known[1024];
  const code = known[3072] ?? known[2048];
  if (code && code < 32767) crs.epsg = code;
  crs.point = known[1025] === 2;
  return crs;
}

/** GDAL's six numbers from (column, row) to coordinates, or undefined. */
function transformOf(tag, point) {
  const matrix = tag(34264);
  const [scale, tie] = [tag(33550), tag(33922)];
  let numbers;
  if (matrix) numbers = [matrix[3], matrix[0], matrix[1], matrix[7], matrix[4], matrix[5]];
  else if (scale && tie) numbers = [tie[3] - tie[0] * scale[0], scale[0], 0, tie[4] + tie[1] * scale[1], 0, -scale[1]];
  if (!numbers || numbers.some((n) => !Number.isFinite(n))) return undefined;
  // The tie is at the middle of the first pixel, not at its corner.
  if (point) {
    numbers[0] -= (numbers[1] + numbers[2]) / 2;
    numbers[3] -= (numbers[4] + numbers[5]) / 2;
  }
  return numbers;
}

/** The place of a scene: { crs, transform, width, height }; parts may be undefined. */
export function placeOf({ tag, width, height }) {
  const crs = crsOf(tag);
  return { crs, transform: transformOf(tag, crs?.point), width, height };
}

/** The CRS in words. */
export function crsWords({ crs, transform }) {
  if (!transform) return "not georeferenced";
  if (!crs) return "georeferenced, CRS not named";
  return crs.epsg ? `EPSG:${crs.epsg}` : "georeferenced, CRS of its own";
}

/** Size of a pixel in metres from row to row, or undefined. */
export function pixelM({ crs, transform }) {
  if (!transform) return undefined;
  return Math.hypot(transform[2], transform[5]) * (crs?.model === 2 ? DEGREE_M : 1);
}

/** Whether north is up, as far as is known. */
export function northUp({ transform }) {
  if (!transform) return true;
  const [, a, b, , c, d] = transform;
  return a > 0 && d < 0 && Math.abs(b) < 0.1 * a && Math.abs(c) < -0.1 * d;
}

/** Degrees north of the middle, where the CRS tells it simply. */
export function latitude(place) {
  if (!place.transform) return undefined;
  const [, y] = apply(place.transform, place.width / 2, place.height / 2);
  const { epsg, model } = place.crs ?? {};
  if (model === 2) return y;
  if (epsg === 3857) return (Math.atan(Math.sinh(y / RADIUS_M)) * 180) / Math.PI;
  if (utm(epsg)) return (y - (utm(epsg).south ? 1e7 : 0)) / UTM_SCALE / MEAN_DEGREE_M;
  return undefined;
}

const apply = ([x, a, b, y, c, d], col, row) => [x + col * a + row * b, y + col * c + row * d];

function inverse([x, a, b, y, c, d]) {
  const det = a * d - b * c;
  return (X, Y) => [(d * (X - x) - b * (Y - y)) / det, (a * (Y - y) - c * (X - x)) / det];
}

/**
 * How pixels of `scene` lie in `other`: "same", "elsewhere", "crs" (another CRS), "size" (no way
 * without a place), or a function from (column, row) of the scene to those of the other, as
 * fractions.
 */
export function gridMap(scene, other) {
  const sameSize = scene.width === other.width && scene.height === other.height;
  if (!scene.transform || !other.transform) return sameSize ? "same" : "size";
  if (scene.crs && other.crs && !sameCrs(scene.crs, other.crs)) return "crs";
  const back = inverse(other.transform);
  const map = (col, row) => back(...apply(scene.transform, col, row));
  const corners = [[0, 0], [scene.width, 0], [0, scene.height], [scene.width, scene.height]];
  const moved = corners.map(([col, row]) => map(col, row));
  const apart = Math.max(...moved.map(([c, r], i) => Math.hypot(c - corners[i][0], r - corners[i][1])));
  if (sameSize && apart <= TOLERANCE_PX) return "same";
  const [cols, rows] = [moved.map(([c]) => c), moved.map(([, r]) => r)];
  const meets = Math.max(...cols) > 0 && Math.min(...cols) < other.width && Math.max(...rows) > 0 && Math.min(...rows) < other.height;
  return meets ? map : "elsewhere";
}

const sameCrs = (a, b) => (a.epsg && b.epsg ? a.epsg === b.epsg : a.own === b.own || a.epsg === b.epsg);

const utm = (epsg) => {
  const south = epsg > 32700 && epsg <= 32760;
  return (epsg > 32600 && epsg <= 32660) || south ? { zone: epsg % 100, south } : undefined;
};

/** From longitude and latitude to pixels of a scene, or undefined where its CRS is none of ours. */
export function fromLonLat({ crs, transform }) {
  if (!transform || !crs) return undefined;
  const back = inverse(transform);
  const zone = utm(crs.epsg);
  if (crs.model === 2) return (lon, lat) => back(lon, lat);
  if (crs.epsg === 3857) {
    return (lon, lat) => back((RADIUS_M * lon * Math.PI) / 180, RADIUS_M * Math.asinh(Math.tan((lat * Math.PI) / 180)));
  }
  if (zone) return (lon, lat) => back(...toUtm(lon, lat, zone));
  return undefined;
}

/** Universal Transverse Mercator by Krüger's series to the third order: below a millimetre. */
function toUtm(lon, lat, { zone, south }) {
  const n = FLATTENING / (2 - FLATTENING);
  const a = (RADIUS_M / (1 + n)) * (1 + n ** 2 / 4 + n ** 4 / 64);
  const alpha = [n / 2 - (2 * n ** 2) / 3 + (5 * n ** 3) / 16, (13 * n ** 2) / 48 - (3 * n ** 3) / 5, (61 * n ** 3) / 240];
  const [phi, lambda] = [(lat * Math.PI) / 180, ((lon - (zone * 6 - 183)) * Math.PI) / 180];
  const e = (2 * Math.sqrt(n)) / (1 + n);
  const t = Math.sinh(Math.atanh(Math.sin(phi)) - e * Math.atanh(e * Math.sin(phi)));
  const [xi, eta] = [Math.atan2(t, Math.cos(lambda)), Math.atanh(Math.sin(lambda) / Math.hypot(1, t))];
  let [x, y] = [eta, xi];
  alpha.forEach((weight, i) => {
    const k = 2 * (i + 1);
    x += weight * Math.cos(k * xi) * Math.sinh(k * eta);
    y += weight * Math.sin(k * xi) * Math.cosh(k * eta);
  });
  return [500000 + UTM_SCALE * a * x, UTM_SCALE * a * y + (south ? 1e7 : 0)];
}
