/** Who ordered what, and how it ended. Choosing one shows the steps of its run. */
import { Link } from "@tanstack/react-router";
import type { Order } from "../query.ts";
import { Age, Duration } from "./Age.tsx";
import { StateBadge } from "./StateBadge.tsx";
import classes from "./OrderList.module.css";

export interface OrderListProps {
  readonly orders: readonly Order[];
  readonly vapp: string;
  /** Runs whose steps are shown. */
  readonly shownRuns: readonly string[];
}

export function OrderList({ orders, vapp, shownRuns }: OrderListProps) {
  return (
    <ul className={classes.list}>
      {orders.map((order) => (
        <li key={order.id} className={classes.order}>
          <StateBadge noun="run" state={order.state} />
          <span className={classes.text}>
            <Link
              to="/services/$vapp"
              params={{ vapp }}
              search={{ run: order.run }}
              hash={`run-${order.run}`}
              className={classes.link}
              aria-current={shownRuns.includes(order.run)}
            >
              {order.summary}
            </Link>
            <span className={classes.faint}>
              {order.action} by {order.principal}, <Age at={order.createdAt} />
            </span>
          </span>
          <span className={classes.time}>
            <Duration from={order.createdAt} to={order.finishedAt} />
          </span>
        </li>
      ))}
    </ul>
  );
}
