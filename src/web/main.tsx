/** The console: a client of the API like any other. See ../sdk/client.ts for how it asks and live.ts for how it stays up to date. */
import "@mantine/core/styles.css";
import "@xyflow/react/dist/base.css";
import "./theme.css";
import { MantineProvider } from "@mantine/core";
import { QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { queryClient } from "./query.ts";
import { router } from "./router.tsx";
import { cssVariables, theme } from "./theme.ts";

/** The page's policy lets in only those styles that carry this. */
const nonce = document.querySelector<HTMLMetaElement>("meta[property=csp-nonce]")?.nonce ?? "";

createRoot(document.querySelector("#root")!).render(
  <StrictMode>
    <MantineProvider theme={theme} cssVariablesResolver={cssVariables} defaultColorScheme="auto" getStyleNonce={() => nonce}>
      <QueryClientProvider client={queryClient}>
        <RouterProvider router={router} />
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
);
