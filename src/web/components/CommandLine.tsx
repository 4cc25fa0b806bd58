/** A command to type, with a button that copies it. */
import { Button, CopyButton } from "@mantine/core";
import classes from "./CommandLine.module.css";

export function CommandLine({ command }: { readonly command: string }) {
  return (
    <div className={classes.line}>
      <code>{command}</code>
      <CopyButton value={command}>
        {({ copied, copy }) => (
          <Button size="compact-xs" variant="default" onClick={copy} aria-label={`Copy the command ${command}`}>
            {copied ? "Copied" : "Copy"}
          </Button>
        )}
      </CopyButton>
    </div>
  );
}
