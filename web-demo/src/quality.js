// How much time a fill may take: the page's words for levels of the core's table.

/**
 * Steps and samples of a level; without them the model's card says. `level` is its name in the core.
 * One step is as accurate as the model's three and three times as fast, but its samples disagree too
 * little: only fine has an honest uncertainty.
 */
export const QUALITY = {
  fast: { level: "preview", steps: 1, samples: 2 },
  standard: { level: "standard", steps: 1, samples: 4 },
  fine: { level: "balanced" },
};
