#!/bin/sh
# Starts a daemon inside the site: joins the site's control groups, leaves the session, writes the pid the site knows it by.
# Arguments: PIDFILE LOGFILE COMMAND...
set -eu
pidfile=$1 logfile=$2
shift 2
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  echo $$ >/sys/fs/cgroup/init.scope/cgroup.procs
else
  for group in /sys/fs/cgroup/*/cgroup.procs; do echo $$ >"$group"; done
fi
setsid "$@" </dev/null >>"$logfile" 2>&1 &
echo $! >"$pidfile"
