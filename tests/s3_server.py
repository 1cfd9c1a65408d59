"""An S3 server on loopback, and before it a proxy that fails on demand: busy answers, cut connections, answers that stall. Run as a process of its own."""
import http.client
import json
import logging
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUSY = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>ServiceUnavailable</Code><Message>Please reduce your request rate.</Message></Error>'
DENIED = b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>'


class Faults:
    "What goes wrong next: each fault is {kind, part: text in the path, times: how often, skip: after so many requests}"
    def __init__(self): self.list, self.log, self.lock = [], [], threading.Lock()

    def of(self, method, path, first):
        with self.lock:
            self.log.append([method, path, first])
            for fault in self.list:
                if method != "GET" or fault["part"] not in path: continue
                fault["skip"] -= 1
                if fault["skip"] < 0 and fault["skip"] >= -fault["times"]: return fault["kind"]
        return None


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args): pass

    def answer(self):
        faults, body = self.server.faults, self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/-/"): return self.control(faults, body)
        first = int((self.headers.get("Range") or "bytes=0-").removeprefix("bytes=").split("-")[0])
        kind = faults.of(self.command, self.path, first)
        if kind in ("busy", "denied"): return self.reply(503 if kind == "busy" else 403, {"Content-Type": "application/xml"}, BUSY if kind == "busy" else DENIED)
        upstream = http.client.HTTPConnection("127.0.0.1", self.server.upstream)
        upstream.request(self.command, self.path, body, dict(self.headers))
        got = upstream.getresponse()
        content = got.read()
        headers = {k: v for k, v in got.getheaders() if k.lower() not in ("connection", "transfer-encoding", "date", "server")}
        if kind is None: return self.reply(got.status, headers, content)
        self.reply(got.status, headers, content, len(content) // 2)
        if kind == "stall": time.sleep(5)
        self.close_connection = True

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = answer

    def reply(self, status, headers, content, most=None):
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() != "content-length": self.send_header(name, value)
        self.send_header("Content-Length", headers.get("Content-Length") or str(len(content)))
        self.end_headers()
        if self.command != "HEAD": self.wfile.write(content[:most])
        self.wfile.flush()

    def control(self, faults, body):
        with faults.lock:
            if self.path == "/-/faults": faults.list = json.loads(body)
            log = faults.log
            if self.path == "/-/log": faults.log = []
        self.reply(200, {}, json.dumps(log).encode())


class Server:
    "The running server, seen from a test"
    def __init__(self, port, direct): self.endpoint, self.direct = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{direct}"

    def _ask(self, path, value=None):
        with urllib.request.urlopen(urllib.request.Request(self.endpoint + path, json.dumps(value).encode(), method="POST")) as got: return json.loads(got.read())

    def log(self):
        "The requests since the last call: method, path, first byte asked for"
        return self._ask("/-/log")

    @contextmanager
    def failing(self, kind, part, times=1, skip=0):
        "Lets `times` answers of objects or listings with `part` in their address go wrong, after the first `skip`"
        self._ask("/-/faults", [{"kind": kind, "part": part, "times": times, "skip": skip}])
        try: yield
        finally: self._ask("/-/faults", [])


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, request, client_address): pass   # a client that went away


def main():
    from moto.server import ThreadedMotoServer
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    moto = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    proxy = Listener(("127.0.0.1", 0), Proxy)
    proxy.faults, proxy.upstream = Faults(), moto.get_host_and_port()[1]
    print(json.dumps([proxy.server_port, proxy.upstream]), flush=True)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    sys.stdin.read()   # until the test has gone


if __name__ == "__main__": main()
