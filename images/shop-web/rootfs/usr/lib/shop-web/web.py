"""
The shop's web server.

    GET  /         the newest items; JSON, or a page for people with ?format=html or Accept: text/html
    GET  /items    JSON, oldest first: ?after=ID&limit=N (at most 1000)
    POST /items    {"name": "...", "price": "1.50"} as JSON, or a form; 201 only after the commit, 503 with committed "no" or "unknown" else
    GET  /health   200 while the process runs and has its settings; says nothing of the database, or one dead database would take
                   every web server out of the balancer
"""

import json
import logging
import logging.handlers
import os
import re
import signal
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import database
import page
from settings import Settings

BODY_BYTES_MAX = 16_384
ROWS_SHOWN = 20
ROWS_MAX = 1_000
IDLE_SECONDS = 60

settings = Settings()
shop = database.Database(settings)
log = logging.getLogger("shop-web")


def item(row):
    return {"id": row[0], "name": row[1], "price": str(row[2])}


def newest(cursor):
    cursor.execute("select count(*) from item")
    (count,) = cursor.fetchone()
    cursor.execute("select id, name, price from item order by id desc limit %s", (ROWS_SHOWN,))
    return {"count": count, "rows": [item(row) for row in cursor.fetchall()]}


class Refused(Exception):
    pass


def wished(fields):
    name, price = fields.get("name"), fields.get("price")
    if not isinstance(name, str) or not 1 <= len(name.strip()) <= 80 or "\0" in name:
        raise Refused("name must be a text of 1 to 80 characters")
    if isinstance(price, bool) or not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,2})?", str(price)):
        raise Refused("price must be a number from 0 to 999999.99, such as 1.50")
    return name.strip(), str(price)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "shop-web"
    sys_version = ""
    timeout = IDLE_SECONDS
    # Head and body leave in one packet each; without this the second waits for the first one's acknowledgement.
    disable_nagle_algorithm = True
    wbufsize = -1

    def log_message(self, *args):
        pass

    def do_GET(self):
        target = urlsplit(self.path)
        query = parse_qs(target.query)
        if target.path == "/health":
            configured = settings.current() is not None
            self.answer(200 if configured else 503, {"status": "ok" if configured else "not configured"})
        elif target.path == "/":
            html = query.get("format") == ["html"] or "text/html" in self.headers.get("Accept", "")
            self.asked(lambda: self.show(html), html)
        elif target.path == "/items":
            self.asked(lambda: self.listed(query), False)
        else:
            self.answer(404, {"error": "there is no such page"})

    do_HEAD = do_GET

    def do_POST(self):
        body = self.body()
        if body is None:
            return
        if urlsplit(self.path).path != "/items":
            self.answer(404, {"error": "there is no such page"})
            return
        form = self.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded")
        self.asked(lambda: self.added(body, form), form)

    def show(self, html):
        found, server = shop.read(newest)
        answer = {"web": name(), "database": server, **found}
        if html:
            self.send(200, "text/html; charset=utf-8", page.render(answer))
        else:
            self.answer(200, answer)

    def listed(self, query):
        def number(key, default, most):
            text = query.get(key, [str(default)])[0]
            if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) > most:
                raise Refused(f"{key} must be a number up to {most}")
            return int(text)

        after, limit = number("after", 0, 10**18 - 1), number("limit", ROWS_MAX, ROWS_MAX)

        def rows(cursor):
            cursor.execute("select id, name, price from item where id > %s order by id limit %s", (after, limit))
            return [item(row) for row in cursor.fetchall()]

        found, server = shop.read(rows)
        self.answer(200, {"web": name(), "database": server, "rows": found})

    def added(self, body, form):
        try:
            fields = {key: values[0] for key, values in parse_qs(body.decode()).items()} if form else json.loads(body)
        except ValueError:
            raise Refused("the body is neither JSON nor a form") from None
        if not isinstance(fields, dict):
            raise Refused("the body must be an object with name and price")
        values = wished(fields)

        def insert(cursor):
            cursor.execute("insert into item (name, price) values (%s, %s) returning id, name, price", values)
            return item(cursor.fetchone())

        made = shop.write(insert)
        if form:
            self.send(303, "text/plain; charset=utf-8", "", {"Location": "/?format=html"})
        else:
            self.answer(201, {"web": name(), "item": made})

    def asked(self, work, html):
        """Answers what can go wrong. What went wrong inside is logged, never shown."""
        try:
            if settings.current() is None:
                raise database.Unreachable("not configured yet")
            work()
        except Refused as error:
            self.failed(400, {"error": str(error)}, html)
        except database.NotCommitted as error:
            log.warning("nothing was written: %s", error)
            self.failed(503, {"error": "the database takes no writes at the moment", "committed": "no"}, html)
        except database.Unknown as error:
            log.warning("unknown whether it was written: %s", error)
            self.failed(503, {"error": "the database did not confirm the write", "committed": "unknown"}, html)
        except database.Unreachable as error:
            log.warning("no database: %s", error)
            self.failed(503, {"error": "the database does not answer"}, html)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        except Exception:
            log.exception("a request failed")
            self.failed(500, {"error": "something went wrong inside"}, html)

    def body(self):
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > BODY_BYTES_MAX:
            self.close_connection = True
            self.answer(413 if length else 411, {"error": f"a body of at most {BODY_BYTES_MAX} bytes with its length is needed"})
            return None
        return self.rfile.read(int(length))

    def failed(self, status, answer, html):
        if html:
            self.send(status, "text/html; charset=utf-8", page.problem(name(), answer["error"]))
        else:
            self.answer(status, {"web": name(), **answer})

    def answer(self, status, value):
        self.send(status, "application/json", json.dumps(value) + "\n")

    def send(self, status, kind, text, headers=None):
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
        self.wfile.flush()


class Server(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True
    address_family = socket.AF_INET


def name():
    return (settings.current() or {}).get("name", "unconfigured")


def main():
    if os.path.exists("/dev/log"):
        handler = logging.handlers.SysLogHandler("/dev/log")
        handler.ident = "shop-web: "
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    server = Server(("0.0.0.0", 80), Handler)
    # What is being answered is answered to the end; nothing new is taken.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    log.info("serves")
    server.serve_forever(poll_interval=0.2)


main()
