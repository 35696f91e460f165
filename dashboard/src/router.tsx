import type { QueryClient } from "@tanstack/react-query";
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from "@tanstack/react-router";
import { isSignedOut, profileQuery } from "./api/queries";
import { SignInPage } from "./pages/account/SignInPage";
import { Broken, Missing } from "./shell/Broken";
import { Shell } from "./shell/Shell";

interface Context {
  queryClient: QueryClient;
}

type Search = Record<string, unknown>;

export interface ListingSearch {
  q?: string;
  sort?: string;
}

export interface InstancesSearch {
  q?: string;
  status?: string;
  verdict?: string;
  gpu?: string;
  sort?: string;
}

const text = (value: unknown): string | undefined =>
  typeof value === "string" || typeof value === "number" ? String(value) : undefined;

const root = createRootRouteWithContext<Context>()({
  component: Outlet,
  notFoundComponent: Missing,
});

/** Only an address of our own: `next` comes from the address bar. */
const ownPath = (value: unknown): string | undefined => {
  const path = text(value);
  return path?.startsWith("/") && !path.startsWith("//") && !path.includes("\\") ? path : undefined;
};

const signIn = createRoute({
  getParentRoute: () => root,
  path: "/sign-in",
  component: SignInPage,
  validateSearch: (search: Search): { next?: string } => ({ next: ownPath(search.next) }),
});

const signUp = createRoute({
  getParentRoute: () => root,
  path: "/sign-up",
  component: lazyRouteComponent(() => import("./pages/account/SignUpPage"), "SignUpPage"),
  validateSearch: (search: Search): { next?: string } => ({ next: ownPath(search.next) }),
});

const listing = createRoute({
  getParentRoute: () => root,
  path: "/listing",
  component: lazyRouteComponent(() => import("./pages/listing/ListingPage"), "ListingPage"),
  validateSearch: (search: Search): ListingSearch => ({
    q: text(search.q),
    sort: text(search.sort),
  }),
});

const listed = createRoute({
  getParentRoute: () => root,
  path: "/listing/$listedId",
  component: lazyRouteComponent(() => import("./pages/listing/ListedPage"), "ListedPage"),
});

/** Everything below needs a session; without one it is asked for, and one comes back here. */
const signedIn = createRoute({
  getParentRoute: () => root,
  id: "signed-in",
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    try {
      await context.queryClient.ensureQueryData(profileQuery);
    } catch (error) {
      if (isSignedOut(error)) throw redirect({ to: "/sign-in", search: { next: location.href } });
      throw error;
    }
  },
});

const home = createRoute({
  getParentRoute: () => root,
  path: "/",
  beforeLoad: () => {
    throw redirect({ to: "/instances" });
  },
});

const instances = createRoute({
  getParentRoute: () => signedIn,
  path: "/instances",
  component: lazyRouteComponent(() => import("./pages/instances/InstancesPage"), "InstancesPage"),
  /** `q` is what is searched, `status`, `verdict` and `gpu` filter, `sort` is a column, with - before it descending. */
  validateSearch: (search: Search): InstancesSearch => ({
    q: text(search.q),
    status: text(search.status),
    verdict: text(search.verdict),
    gpu: text(search.gpu),
    sort: text(search.sort),
  }),
});

const onboard = createRoute({
  getParentRoute: () => signedIn,
  path: "/instances/onboard",
  component: lazyRouteComponent(() => import("./pages/onboard/OnboardPage"), "OnboardPage"),
});

const importMany = createRoute({
  getParentRoute: () => signedIn,
  path: "/instances/import",
  component: lazyRouteComponent(() => import("./pages/onboard/ImportPage"), "ImportPage"),
});

const instance = createRoute({
  getParentRoute: () => signedIn,
  path: "/instances/$instanceId",
  component: lazyRouteComponent(() => import("./pages/instance/InstancePage"), "InstancePage"),
  validateSearch: (search: Search): { tab?: string } => ({ tab: text(search.tab) }),
});

const inventory = createRoute({
  getParentRoute: () => signedIn,
  path: "/inventory",
  component: lazyRouteComponent(() => import("./pages/inventory/InventoryPage"), "InventoryPage"),
});

const run = createRoute({
  getParentRoute: () => signedIn,
  path: "/runs/$runId",
  component: lazyRouteComponent(() => import("./pages/run/RunPage"), "RunPage"),
  validateSearch: (search: Search): { tab?: string } => ({ tab: text(search.tab) }),
});

const performance = createRoute({
  getParentRoute: () => signedIn,
  path: "/performance",
  component: lazyRouteComponent(
    () => import("./pages/performance/PerformancePage"),
    "PerformancePage",
  ),
});

const compare = createRoute({
  getParentRoute: () => signedIn,
  path: "/compare",
  component: lazyRouteComponent(() => import("./pages/compare/ComparePage"), "ComparePage"),
  /** Ids parted by commas; the latest result stands for an instance. */
  validateSearch: (search: Search): { runs?: string; instances?: string } => ({
    runs: text(search.runs),
    instances: text(search.instances),
  }),
});

const connection = createRoute({
  getParentRoute: () => signedIn,
  path: "/connection",
  component: lazyRouteComponent(
    () => import("./pages/connection/ConnectionPage"),
    "ConnectionPage",
  ),
});

const profile = createRoute({
  getParentRoute: () => signedIn,
  path: "/profile",
  component: lazyRouteComponent(() => import("./pages/profile/ProfilePage"), "ProfilePage"),
});

const tree = root.addChildren([
  home,
  signIn,
  signUp,
  listing,
  listed,
  signedIn.addChildren([
    instances,
    onboard,
    importMany,
    instance,
    inventory,
    run,
    performance,
    compare,
    connection,
    profile,
  ]),
]);

export function newRouter(queryClient: QueryClient) {
  return createRouter({
    routeTree: tree,
    context: { queryClient },
    defaultPreload: "intent",
    defaultPreloadStaleTime: 0,
    defaultErrorComponent: Broken,
    defaultNotFoundComponent: Missing,
    scrollRestoration: true,
  });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof newRouter>;
  }
}
