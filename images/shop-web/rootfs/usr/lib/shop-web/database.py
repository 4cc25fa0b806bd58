"""
Connections to the database tier. Writes go to the server that takes writes, whichever it is at the moment; reads prefer it, and take
any server while there is none, so the page stays during a failover.

A write answers only what is known: Committed, NotCommitted (nothing happened, may be repeated), or Unknown (the connection was lost
while the commit was on its way, or the commit waits for the standby longer than a client should).
"""

import queue
import threading
import time

import psycopg2

READS_MAX = 4
# A commit that waits for a standby occupies its place until it is through: more than these would wait in vain.
WRITES_MAX = 4
READ_SECONDS = 6
WRITE_SECONDS = 8
RETRY_SECONDS = 0.2
# While no server takes writes, reads ask any server, and one of them looks again this often.
LOOK_SECONDS = 2


class NotCommitted(Exception):
    pass


class Unknown(Exception):
    pass


class Unreachable(Exception):
    pass


class Database:
    def __init__(self, settings):
        self._settings = settings
        # With what each was opened for: settings, and whether it leads to the server that takes writes.
        self._idle = queue.LifoQueue()
        self._reads = threading.BoundedSemaphore(READS_MAX)
        self._writes = threading.BoundedSemaphore(WRITES_MAX)
        # One connection is opened at a time each. Opening one costs a database server more than many answers: requests that all open
        # their own when it is slow for a moment would keep it slow for ever.
        self._opens = {"read": threading.Lock(), "write": threading.Lock()}
        self._any = False
        self._look_at = 0.0

    def read(self, work):
        """work(cursor) on the first server that answers, and what that server is. May run more than once."""
        deadline = time.monotonic() + READ_SECONDS
        if not self._reads.acquire(timeout=READ_SECONDS):
            raise Unreachable("too many requests wait for the database")
        try:
            while True:
                try:
                    return self._read_once(work, deadline)
                except psycopg2.OperationalError as error:
                    if time.monotonic() > deadline:
                        raise Unreachable(first_line(error)) from error
                    time.sleep(RETRY_SECONDS)
        finally:
            self._reads.release()

    def _read_once(self, work, deadline):
        lent = self._take("read", deadline)
        connection = lent[0]
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                answer = work(cursor)
                cursor.execute("select pg_is_in_recovery()")
                server = {"name": connection.info.host, "role": "standby" if cursor.fetchone()[0] else "primary"}
        except BaseException:
            self._end(connection)
            raise
        self._give(lent)
        return answer, server

    def write(self, work):
        """work(cursor) in one transaction; returns its answer once the database said that it is committed."""
        if not self._writes.acquire(blocking=False):
            raise NotCommitted("too many writes wait for the database's standby")
        outcome = queue.Queue(1)

        def carry_out():
            try:
                outcome.put((self._write(work), None))
            except BaseException as error:
                outcome.put((None, error))
            finally:
                self._writes.release()

        threading.Thread(target=carry_out, daemon=True).start()
        try:
            answer, error = outcome.get(timeout=WRITE_SECONDS)
        except queue.Empty:
            raise Unknown("the commit waits for the database's standby") from None
        if error is not None:
            raise error
        return answer

    def _write(self, work):
        # Half the time for finding a server; the commit gets the rest.
        deadline = time.monotonic() + WRITE_SECONDS / 2
        while True:
            try:
                lent = self._take("write", deadline)
                connection = lent[0]
                try:
                    connection.autocommit = False
                    with connection.cursor() as cursor:
                        answer = work(cursor)
                    break
                except BaseException:
                    self._end(connection)
                    raise
            except psycopg2.OperationalError as error:
                # Nothing is committed without our commit: trying again cannot write twice.
                if time.monotonic() > deadline:
                    raise NotCommitted(first_line(error)) from error
                time.sleep(RETRY_SECONDS)
        try:
            connection.notices.clear()
            connection.commit()
        except psycopg2.Error as error:
            connection.close()
            raise Unknown(first_line(error)) from error
        if any("synchronous replication" in notice for notice in connection.notices):
            connection.close()
            raise Unknown("the database gave up waiting for its standby")
        connection.autocommit = True
        self._give(lent)
        return answer

    def _take(self, purpose, deadline):
        """A connection with what it was opened for: an idle one, or a new one once nobody else opens one."""
        opening = self._opens[purpose]
        while True:
            looks = purpose == "read" and self._any and time.monotonic() >= self._look_at
            if not (looks and opening.acquire(blocking=False)):
                lent = self._take_idle(purpose)
                if lent is not None:
                    return lent
                # While somebody opens one, another may be given back.
                if not opening.acquire(timeout=0.02):
                    if time.monotonic() > deadline:
                        raise psycopg2.OperationalError("no connection to the database became free")
                    continue
            try:
                return self._open(purpose)
            finally:
                opening.release()

    def _take_idle(self, purpose):
        settings = self._settings.current()
        while True:
            try:
                lent = self._idle.get_nowait()
            except queue.Empty:
                return None
            connection, belongs_to, takes_writes = lent
            usable = takes_writes or (purpose == "read" and self._any)
            if usable and belongs_to == settings and not connection.closed:
                return lent
            connection.close()

    def _give(self, lent):
        if self._idle.qsize() < READS_MAX:
            self._idle.put(lent)
        else:
            lent[0].close()

    def _end(self, connection):
        if not connection.closed:
            connection.close()
            return
        # It broke: the idle ones lead to the same server.
        while True:
            try:
                self._idle.get_nowait()[0].close()
            except queue.Empty:
                return

    def _open(self, purpose):
        settings = self._settings.current()
        if purpose == "write" or not self._any or time.monotonic() >= self._look_at:
            try:
                lent = self._connect(settings, "read-write"), settings, True
                self._any = False
                return lent
            except psycopg2.OperationalError:
                if purpose == "write":
                    raise
                self._any = True
                self._look_at = time.monotonic() + LOOK_SECONDS
        return self._connect(settings, "any"), settings, False

    def _connect(self, settings, attributes):
        # A machine that was cut off sends nothing, not even a refusal: without these limits a request would wait for minutes.
        return psycopg2.connect(
            host=",".join(settings["servers"]),
            dbname=settings["database"],
            user=settings["user"],
            password=settings["password"],
            target_session_attrs=attributes,
            connect_timeout=2,
            keepalives_idle=1,
            keepalives_interval=1,
            keepalives_count=2,
            tcp_user_timeout=1500,
            application_name=settings["name"],
            options="-c statement_timeout=5000 -c idle_in_transaction_session_timeout=10000",
        )


def first_line(error):
    return (str(error).strip() or type(error).__name__).splitlines()[0]
