// Light or dark: as the system says, unless a person chose.

const KEY = 'console-theme';
type Choice = 'light' | 'dark' | undefined;

class Theme {
  choice = $state<Choice>(stored());

  get isDark(): boolean {
    return this.choice ? this.choice === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  }

  toggle() {
    this.choice = this.isDark ? 'light' : 'dark';
    localStorage.setItem(KEY, this.choice);
    this.apply();
  }

  apply() {
    if (this.choice) document.documentElement.dataset.theme = this.choice;
    else delete document.documentElement.dataset.theme;
  }
}

function stored(): Choice {
  const value = localStorage.getItem(KEY);
  return value === 'light' || value === 'dark' ? value : undefined;
}

export const theme = new Theme();
