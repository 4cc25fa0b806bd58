# Sourced by whatever deals with the database server: where it is, how it is started, stopped and asked. No decision is made here.
PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH LC_ALL=C.UTF-8
umask 077
get=/usr/lib/stratiform/get
cd /

# The cluster lives on the volume `data` where there is one. Which place it is, is written down once: a volume that is missing one day must
# not be taken for a machine without one, which would begin anew with an empty database.
place_file=/var/lib/postgresql/stratiform-place
place_choose() {
  volume=/var/lib/stratiform/volumes/data
  if [ ! -e "$place_file" ]; then
    if mountpoint -q "$volume"; then echo volume > "$place_file"; else echo root > "$place_file"; fi
  fi
}
home_of() {
  case $(cat "$place_file" 2>/dev/null) in
    volume) mountpoint -q /var/lib/stratiform/volumes/data && echo /var/lib/stratiform/volumes/data/postgresql ;;
    root) echo /var/lib/postgresql/stratiform ;;
  esac
}
home=$(home_of)
data=$home/main

as_postgres() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
is_running() { [ -n "$home" ] && as_postgres pg_ctl -D "$data" status > /dev/null 2>&1; }
postgres_start() { as_postgres pg_ctl -D "$data" -w -t 60 -s start > /dev/null 2>&1 < /dev/null; }
# Not in time: the server is ended the hard way, which costs a recovery and no data. What must not run, must not run.
postgres_stop() {
  is_running || return 0
  as_postgres pg_ctl -D "$data" -m fast -w -t 20 -s stop > /dev/null 2>&1 || as_postgres pg_ctl -D "$data" -m immediate -w -t 20 -s stop > /dev/null 2>&1
}
# Own sessions do not wait for a standby: they prepare what a standby needs.
ask() { as_postgres env PGOPTIONS="-c synchronous_commit=local" psql -X -A -t -q -v ON_ERROR_STOP=1 -d "${1:-postgres}"; }
is_standby() { [ -e "$data/standby.signal" ]; }
in_recovery() { [ "$(echo 'select pg_is_in_recovery()' | ask 2>/dev/null)" = t ]; }

# Other servers are asked as role `replication`, whose password is on tmpfs only.
passfile=/run/postgresql/pass
ask_other() { as_postgres env PGPASSFILE="$passfile" psql -X -A -t -q -w -d "host=$1 user=replication dbname=postgres connect_timeout=2 options='-c statement_timeout=3000'"; }

# watch_start [PRIMARY]: until primary and standby are in step (postgres-watch). The address is kept apart from the context, which may name
# another primary by then, also one that this server refused to follow.
watch_start() {
  echo "${1-}" > /run/postgresql/.watch
  mv /run/postgresql/.watch /run/postgresql/watch
  setsid /usr/lib/stratiform/postgres-watch < /dev/null > /dev/null 2>&1 &
}
