// Light or dark: the system's choice until somebody chooses.

export type Choice = "system" | "light" | "dark";

class Theme {
  choice = $state<Choice>("system");
  /** Counts changes of what is shown, so that canvases know to repaint. */
  version = $state(0);

  constructor() {
    const saved = document.documentElement.dataset.theme;
    if (saved === "light" || saved === "dark") this.choice = saved;
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.version++);
  }

  get dark(): boolean {
    void this.version;
    if (this.choice !== "system") return this.choice === "dark";
    return matchMedia("(prefers-color-scheme: dark)").matches;
  }

  toggle() {
    this.set(this.dark ? "light" : "dark");
  }

  set(c: Choice) {
    this.choice = c;
    if (c === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = c;
    try {
      if (c === "system") localStorage.removeItem("nines-theme");
      else localStorage.setItem("nines-theme", c);
    } catch {
      // Storage is switched off: the choice lasts as long as the page.
    }
    this.version++;
  }
}

let theme: Theme | undefined;

export function useTheme(): Theme {
  theme ??= new Theme();
  return theme;
}

/** The value of a CSS custom property as it holds now. */
export function cssVar(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}
