/** A path that leads nowhere. */
import { Link } from "@tanstack/react-router";
import { useTitle } from "../title.ts";

export function Nowhere() {
  useTitle("Not found");
  return (
    <section>
      <h1>There is no such page</h1>
      <p>
        The address leads nowhere in this console. See <Link to="/services">all services</Link>.
      </p>
    </section>
  );
}
