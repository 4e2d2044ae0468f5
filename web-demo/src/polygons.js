// Polygons of a GeoJSON file as a mask: a pixel is marked when its centre lies inside one.

import { fromLonLat } from "./geo.js";
import { Refusal } from "./refusal.js";

/** Whether a file may be GeoJSON, by its first letter. */
export const looksLikeJson = (bytes) => /^(\uFEFF|ï»¿)?\s*\{/.test(String.fromCharCode(...bytes));

/** Rings of all polygons, in longitude and latitude: [polygon][ring][point]. */
function polygonsOf(json) {
  const found = [];
  const walk = (thing) => {
    if (!thing) return;
    if (thing.type === "FeatureCollection") (thing.features ?? []).forEach(walk);
    else if (thing.type === "Feature") walk(thing.geometry);
    else if (thing.type === "GeometryCollection") (thing.geometries ?? []).forEach(walk);
    else if (thing.type === "Polygon") found.push(thing.coordinates);
    else if (thing.type === "MultiPolygon") found.push(...thing.coordinates);
  };
  walk(json);
  return found;
}

/**
 * Flags of the window `place` of a scene.
 * @param {object} scenePlace of geo.js
 */
export function burnGeoJson(text, scenePlace, { col, row, width, height }) {
  let json;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new Refusal(`This file is no GeoJSON (${error.message}).`);
  }
  const named = json.crs?.properties?.name;
  if (named && !/CRS84|4326/.test(named)) {
    throw new Refusal(`This GeoJSON is in ${named}; save it in WGS 84 (EPSG:4326), as GeoJSON is meant to be.`);
  }
  const toPixel = fromLonLat(scenePlace);
  if (!toPixel) {
    throw new Refusal("GeoJSON polygons can be placed on scenes in longitude and latitude, UTM or web Mercator; save the mask as a GeoTIFF on the scene's grid.");
  }
  const polygons = polygonsOf(json);
  if (polygons.length === 0) throw new Refusal("This GeoJSON has no polygons: a mask is an area.");
  const flags = new Uint8Array(width * height);
  for (const rings of polygons) {
    const moved = rings.map((ring) => ring.map(([lon, lat]) => toPixel(lon, lat)).map(([c, r]) => [c - col, r - row]));
    fillEvenOdd(moved, flags, width, height);
  }
  if (!flags.includes(1)) throw new Refusal("The polygons of this GeoJSON do not lie over the window in view.");
  return flags;
}

/** Marks the pixels whose centre lies inside, ring by ring, line by line. */
function fillEvenOdd(rings, flags, width, height) {
  for (let y = 0; y < height; y += 1) {
    const middle = y + 0.5;
    const cuts = [];
    for (const ring of rings) {
      for (let i = 0; i < ring.length; i += 1) {
        const [[x0, y0], [x1, y1]] = [ring[i], ring[(i + 1) % ring.length]];
        if ((y0 <= middle) !== (y1 <= middle)) cuts.push(x0 + ((middle - y0) * (x1 - x0)) / (y1 - y0));
      }
    }
    cuts.sort((a, b) => a - b);
    for (let i = 0; i + 1 < cuts.length; i += 2) {
      const [from, to] = [Math.max(0, Math.ceil(cuts[i] - 0.5)), Math.min(width - 1, Math.ceil(cuts[i + 1] - 0.5) - 1)];
      for (let x = from; x <= to; x += 1) flags[y * width + x] = 1;
    }
  }
}
