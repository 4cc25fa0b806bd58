/** Which path shows what. What a page shows is in its address, so that it can be sent to somebody else. */
import { createRootRoute, createRoute, createRouter, redirect } from "@tanstack/react-router";
import { Frame } from "./components/Frame.tsx";
import { Nowhere } from "./pages/Nowhere.tsx";
import { ServicesPage } from "./pages/ServicesPage.tsx";
import { VappPage } from "./pages/VappPage.tsx";
import { servicesSearch, vappSearch } from "./search.ts";

const rootRoute = createRootRoute({ component: Frame, notFoundComponent: Nowhere });

const homeRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/services", replace: true });
  },
});

const servicesRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/services",
  component: ServicesPage,
  validateSearch: servicesSearch,
});

const vappRoute = createRoute({
  getParentRoute: () => rootRoute,
  path: "/services/$vapp",
  component: VappPage,
  validateSearch: vappSearch,
});

export const router = createRouter({
  routeTree: rootRoute.addChildren([homeRoute, servicesRoute, vappRoute]),
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
