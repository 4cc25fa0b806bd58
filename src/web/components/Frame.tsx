/** What is around every page: the bar with the product's name, whether the page is live, and the way out. Without a token, the way in. */
import { Button } from "@mantine/core";
import { Link, Outlet } from "@tanstack/react-router";
import { useLiveState, useLiveUpdates, type LiveState } from "../live.ts";
import { queryClient } from "../query.ts";
import { sessionEnd, useSession } from "../session.ts";
import { SignInPage } from "../pages/SignInPage.tsx";
import { Mark } from "./Mark.tsx";
import classes from "./Frame.module.css";

export function Frame() {
  const { token } = useSession();
  return token === null ? <SignInPage /> : <SignedIn token={token} />;
}

function SignedIn({ token }: { readonly token: string }) {
  useLiveUpdates(token);
  const leave = () => {
    sessionEnd();
    queryClient.clear();
  };
  return (
    <>
      <a className={classes.skip} href="#main">
        Skip to the content
      </a>
      <header className={classes.bar}>
        <div className={classes.inner}>
          <Link to="/services" className={classes.home} aria-label="Stratiform, all services">
            <Mark />
            <span>Stratiform</span>
          </Link>
          <nav aria-label="Main">
            <Link to="/services" className={classes.link} activeProps={{ "data-active": true }}>
              Services
            </Link>
          </nav>
          <div className={classes.right}>
            <LiveSign />
            <Button size="compact-sm" variant="default" onClick={leave}>
              Sign out
            </Button>
          </div>
        </div>
      </header>
      <main id="main" className={classes.main} tabIndex={-1}>
        <Outlet />
      </main>
    </>
  );
}

const words: Readonly<Record<LiveState, readonly [word: string, sentence: string]>> = {
  connecting: ["Connecting", "The event stream is being opened"],
  live: ["Live", "What happens is shown at once"],
  lost: ["Reconnecting", "The control plane is not heard; what is shown may be old"],
};

function LiveSign() {
  const state = useLiveState();
  const [word, sentence] = words[state];
  return (
    <span className={classes.live} data-state={state} role="status" title={sentence}>
      <span className={classes.dot} aria-hidden="true" />
      {word}
    </span>
  );
}
