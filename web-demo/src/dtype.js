// Pixel types: how a value is stored, and which one is nodata. The core rounds fills to them.

/** @typedef {{name: string, array: Function, bits: number, format: 1|2|3, low: number, high: number}} Kind */

const integer = (name, array, bits, format, low, high) => ({ name, array, bits, format, low, high });

/** What a scene may be stored in; `format` is TIFF's SampleFormat. @type {Record<string, Kind>} */
export const KINDS = {
  uint8: integer("uint8", Uint8Array, 8, 1, 0, 255),
  int8: integer("int8", Int8Array, 8, 2, -128, 127),
  uint16: integer("uint16", Uint16Array, 16, 1, 0, 65535),
  int16: integer("int16", Int16Array, 16, 2, -32768, 32767),
  uint32: integer("uint32", Uint32Array, 32, 1, 0, 4294967295),
  int32: integer("int32", Int32Array, 32, 2, -2147483648, 2147483647),
  float32: { name: "float32", array: Float32Array, bits: 32, format: 3, low: -3.4028234663852886e38, high: 3.4028234663852886e38 },
  float64: { name: "float64", array: Float64Array, bits: 64, format: 3, low: -3.4028234663852886e38, high: 3.4028234663852886e38 },
};

/** The kind of a TIFF sample, or undefined. */
export function kindOf(format, bits) {
  return Object.values(KINDS).find((kind) => kind.format === format && kind.bits === bits);
}

/** The nodata value in this kind; undefined when it can never occur in it. */
export function nodataIn(kind, value) {
  if (value === undefined || value === null) return undefined;
  if (kind.format === 3) return kind.bits === 32 ? Math.fround(value) : value;
  return Number.isInteger(value) && value >= kind.low && value <= kind.high ? value : undefined;
}

/** Whether `value` is nodata; NaN is NaN. */
export function isNodata(value, nodata) {
  return nodata !== undefined && (value === nodata || (Number.isNaN(value) && Number.isNaN(nodata)));
}

/**
 * What a detector needs to know of stored values: { gain, calibrated } with reflectance =
 * value * gain. As on the command line; pictures hold brightness, not reflectance.
 */
export function reflectance(kind, values) {
  if (kind.name === "uint8") return { gain: 1 / 255, calibrated: false };
  let largest = 0;
  if (kind.format === 3) for (const value of values) if (Number.isFinite(value) && value > largest) largest = value;
  return { gain: kind.format === 3 && largest <= 10 ? 1 : 1e-4, calibrated: true };
}
