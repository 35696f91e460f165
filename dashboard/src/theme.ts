import { type CSSVariablesResolver, createTheme } from "@mantine/core";

/** Shades are chosen for a contrast of 4.5 to 1 and more, on both grounds. */
export const theme = createTheme({
  respectReducedMotion: true,
  primaryColor: "harbor",
  primaryShade: { light: 7, dark: 8 },
  colors: {
    dark: [
      "#d5dbe1",
      "#b4bdc6",
      "#97a2ad",
      "#6b7682",
      "#46505b",
      "#303842",
      "#232a32",
      "#1b2026",
      "#14181d",
      "#0e1115",
    ],
    harbor: [
      "#eaf3fd",
      "#d3e4f8",
      "#a5c8f0",
      "#74aae8",
      "#4d91e1",
      "#3581dd",
      "#2677d9",
      "#1b62b8",
      "#1557a5",
      "#074b93",
    ],
  },
  fontFamily:
    'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif',
  fontFamilyMonospace:
    'ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace',
  defaultRadius: "md",
  cursorType: "pointer",
  headings: { fontWeight: "650" },
  components: {
    // The cross of a dialog has no name of its own.
    Modal: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
    // The titles' own colours miss a contrast of 4.5 to 1; the icon and the line have them.
    Alert: { styles: { title: { color: "var(--mantine-color-text)" } } },
    // A table that is wider than its box is scrolled with the keyboard, too.
    TableScrollContainer: {
      defaultProps: { scrollAreaProps: { viewportProps: { tabIndex: 0 } } },
    },
  },
});

export const variables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-dimmed": "#55606b",
    "--mantine-color-placeholder": "#67727d",
    "--mantine-color-error": "#c2255c",
    "--harbor-surface": "#ffffff",
    "--harbor-ground": "#f5f7fa",
    "--harbor-line": "#dfe4ea",
  },
  dark: {
    "--mantine-color-body": "#14181d",
    "--mantine-color-dimmed": "#a9b3bd",
    "--mantine-color-placeholder": "#98a2ac",
    "--mantine-color-error": "#ff8fa8",
    "--mantine-color-anchor": "#7db4f2",
    "--harbor-surface": "#1b2026",
    "--harbor-ground": "#14181d",
    "--harbor-line": "#303842",
  },
});
