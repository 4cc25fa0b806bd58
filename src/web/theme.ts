/** Mantine's theme. Colours that carry a meaning are in theme.css, by tone. */
import { createTheme, type CSSVariablesResolver, type MantineColorsTuple } from "@mantine/core";

const strata: MantineColorsTuple = [
  "#f0fdfa",
  "#ccfbf1",
  "#99f6e4",
  "#5eead4",
  "#2dd4bf",
  "#14b8a6",
  "#0d9488",
  "#0f766e",
  "#115e59",
  "#134e4a",
];

/** Mantine's own dark greys have no hue; these fit the surfaces in theme.css. */
const dark: MantineColorsTuple = [
  "#d5dbe1",
  "#b4bdc6",
  "#9aa5b1",
  "#6f7a85",
  "#3b454f",
  "#2b333b",
  "#1c2228",
  "#171c21",
  "#12161a",
  "#0d1013",
];

export const theme = createTheme({
  colors: { strata, dark },
  primaryColor: "strata",
  primaryShade: { light: 7, dark: 4 },
  autoContrast: true,
  defaultRadius: "md",
  cursorType: "pointer",
  respectReducedMotion: true,
  fontFamily: 'system-ui, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", "DejaVu Sans", sans-serif',
  fontFamilyMonospace: 'ui-monospace, "SF Mono", "Cascadia Mono", "Liberation Mono", "DejaVu Sans Mono", monospace',
  headings: { fontWeight: "650" },
});

/** Mantine's own secondary text and placeholders are too faint for small type. */
export const cssVariables: CSSVariablesResolver = () => ({
  variables: {},
  light: {
    "--mantine-color-body": "#f5f6f8",
    "--mantine-color-text": "#171c22",
    "--mantine-color-dimmed": "#545d68",
    "--mantine-color-placeholder": "#66707b",
  },
  dark: {
    "--mantine-color-body": "#0d1013",
    "--mantine-color-text": "#e4e8ec",
    "--mantine-color-dimmed": "#9aa5b1",
    "--mantine-color-placeholder": "#8b96a2",
  },
});
