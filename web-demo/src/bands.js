// Which bands feed the model: guessed as the command line does, then the user's choice.

const NAMES = [["B04", "B4", "RED"], ["B03", "B3", "GREEN"], ["B02", "B2", "BLUE"]];

/** Bands from 0 for a model of `count` inputs. */
export function guessBands(scene, count) {
  const data = Array.from({ length: scene.samples }, (_, i) => i).filter((i) => !scene.alpha.includes(i));
  if (count !== 3) return Array.from({ length: count }, (_, i) => data[Math.min(i, data.length - 1)]);
  const words = (i) => scene.names[i].toUpperCase().split(/[^A-Z0-9]+/);
  const named = (i, name) => words(i).includes(name) && !words(i).includes("EDGE");
  const first = (names) => names.map((name) => data.find((i) => named(i, name))).find((i) => i !== undefined);
  const byName = NAMES.map(first);
  if (byName.every((band) => band !== undefined)) return byName;
  if (scene.photometric === 2 && data.length >= 3) return data.slice(0, 3);
  const orders = { 1: [0, 0, 0], 2: [0, 0, 0], 3: [0, 1, 2], 4: [2, 1, 0], 12: [3, 2, 1], 13: [3, 2, 1] };
  // Otherwise blue, green, red are likely to come first.
  return (orders[data.length] ?? [2, 1, 0]).map((i) => data[i]);
}
