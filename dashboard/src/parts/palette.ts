/** What a canvas draws in, where the theme's variables don't reach; 3 to 1 and more on its ground, text 4.5 to 1. */
export const PALETTES = {
  light: {
    ink: "#333b44",
    line: "#dfe4ea",
    surface: "#ffffff",
    series: ["#1b62b8", "#b3541e", "#0b7a5e", "#8a3fa0", "#8a6d00", "#b02a4c"],
  },
  dark: {
    ink: "#d5dbe1",
    line: "#303842",
    surface: "#1b2026",
    series: ["#6cb0ff", "#f0a070", "#5fd0ae", "#d59be6", "#e5c453", "#ff8fa8"],
  },
};

export type Palette = (typeof PALETTES)["light"];

export function seriesColor(palette: Palette, index: number): string {
  return palette.series[index % palette.series.length] ?? palette.ink;
}
