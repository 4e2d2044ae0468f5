// Pixel types: how a value is stored, and how a fill becomes one without becoming nodata.

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

/** The next representable number of a float kind, away from `value`. */
function neighbour(kind, value) {
  const upwards = value < kind.high;
  if (value === 0) return (upwards ? 1 : -1) * (kind.bits === 32 ? 2 ** -149 : 5e-324);
  const data = new DataView(new ArrayBuffer(8));
  const step = value > 0 === upwards ? 1 : -1;
  if (kind.bits === 32) {
    data.setFloat32(0, value);
    data.setInt32(0, data.getInt32(0) + step);
    return data.getFloat32(0);
  }
  data.setFloat64(0, value);
  data.setBigInt64(0, data.getBigInt64(0) + BigInt(step));
  return data.getFloat64(0);
}

/**
 * The stored value nearest to `fill`: rounded half away from zero, kept within the kind's range,
 * moved to the neighbouring value if it would be nodata. The rule of the command line.
 */
export function fromFill(kind, fill, nodata) {
  const clamped = Math.min(Math.max(fill, kind.low), kind.high);
  if (kind.format === 3) {
    return isNodata(clamped, nodata) ? neighbour(kind, clamped) : clamped;
  }
  const value = Math.min(Math.max(Math.sign(fill) * Math.floor(Math.abs(fill) + 0.5), kind.low), kind.high);
  if (value !== nodata) return value;
  const up = fill >= value;
  if (value >= kind.high) return value - 1;
  if (value <= kind.low) return value + 1;
  return up ? value + 1 : value - 1;
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

/**
 * Full brightness that models of this kind of image were trained with; undefined for floating
 * point and 32 bits, where none could be relied on. As on the command line.
 */
export function reflectanceScale(kind) {
  if (kind.name === "uint8") return 255;
  return kind.bits === 16 ? 2750 : undefined;
}
