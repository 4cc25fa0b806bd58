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
# A clean environment: the agent's own (a shortened PATH, NODE_OPTIONS, LXD_DIR) is none of the daemons' business.
setsid env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@" </dev/null >>"$logfile" 2>&1 &
echo $! >"$pidfile"
