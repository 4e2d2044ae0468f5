// Small helpers of the page: elements, sentences, bytes, files to save.

/** The element with this id. */
export const $ = (id) => document.getElementById(id);

/** Megabytes for people. */
export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;

/** Says what goes on. */
export function say(text) {
  $("status").textContent = text;
}

/** Shows one sentence about what was refused or failed; undefined hides it. */
export function complain(error) {
  const problem = $("problem");
  problem.hidden = !error;
  if (!error) return;
  const text = typeof error === "string" ? error : [error.message, error.hint].filter(Boolean).join("; ");
  const sentence = text.charAt(0).toUpperCase() + text.slice(1);
  problem.textContent = /[.!?]$/.test(sentence) ? sentence : `${sentence}.`;
}

/** Hands a Blob to the user as a file. */
export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** The number in a field, kept within its limits and written back. */
export function number(id, fallback) {
  const field = $(id);
  const asked = field.valueAsNumber;
  const [low, high] = [Number(field.min || -Infinity), Number(field.max || Infinity)];
  const value = Number.isFinite(asked) ? Math.min(Math.max(asked, low), high) : fallback;
  field.value = value;
  return value;
}

/** Light, dark or as the system says; remembered where the browser lets us. */
export function themeButton(button) {
  const themes = ["system", "light", "dark"];
  let theme;
  const apply = (name) => {
    theme = themes.includes(name) ? name : "system";
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  const store = (use) => {
    try {
      return use(localStorage);
    } catch {
      return undefined; // no storage here: the choice lasts as long as the page
    }
  };
  apply(store((s) => s.getItem("theme")));
  button.addEventListener("click", () => {
    apply(themes[(themes.indexOf(theme) + 1) % themes.length]);
    store((s) => s.setItem("theme", theme));
  });
}
