/** The way in: a token, tried before it is kept. The address stays, so signing in leads to where one wanted to go. */
import { Button, PasswordInput } from "@mantine/core";
import { useState } from "react";
import { ProblemError } from "#sdk/client.ts";
import { Mark } from "../components/Mark.tsx";
import { ProblemPanel } from "../components/ProblemPanel.tsx";
import { tokenCheck } from "../query.ts";
import { sessionBegin, useSession } from "../session.ts";
import { useTitle } from "../title.ts";
import classes from "./SignInPage.module.css";

const longestToken = 500;

export function SignInPage() {
  useTitle("Sign in");
  const { ended } = useSession();
  const [token, setToken] = useState("");
  const [isTrying, setIsTrying] = useState(false);
  const [error, setError] = useState<Error | null>(null);

  const signIn = async (): Promise<void> => {
    const wanted = token.trim();
    setIsTrying(true);
    setError(null);
    try {
      await tokenCheck(wanted);
      sessionBegin(wanted);
    } catch (thrown) {
      setError(thrown instanceof Error ? thrown : new Error(String(thrown)));
      setIsTrying(false);
    }
  };
  const shown = error ?? (ended === null ? null : new ProblemError(ended));

  return (
    <main className={classes.page}>
      <div className={classes.card}>
        <div className={classes.brand}>
          <Mark size={30} />
          <h1>Sign in to Stratiform</h1>
        </div>
        <form
          className={classes.form}
          onSubmit={(event) => {
            event.preventDefault();
            void signIn();
          }}
        >
          <PasswordInput
            label="Token"
            description="Kept in this tab only, until you close it or sign out."
            value={token}
            onChange={(event) => setToken(event.currentTarget.value)}
            maxLength={longestToken}
            autoComplete="off"
            spellCheck={false}
            autoFocus
            required
            withAsterisk={false}
            size="md"
            visibilityToggleButtonProps={{ "aria-label": "Show or hide the token" }}
          />
          <Button type="submit" size="md" fullWidth loading={isTrying} disabled={token.trim() === ""}>
            Sign in
          </Button>
          {shown !== null && <ProblemPanel error={shown} what={error === null ? "Your session has ended" : refusalOf(error)} />}
        </form>
        <p className={classes.hint}>
          The first admin&apos;s token is in the file <code>admin.token</code> of the control plane&apos;s home folder;{" "}
          <code>strat up</code> prints its path.
        </p>
      </div>
    </main>
  );
}

function refusalOf(error: Error): string {
  const isToken = error instanceof ProblemError && error.problem.code === "unauthenticated";
  return isToken ? "This token is not accepted" : "Signing in did not work";
}
