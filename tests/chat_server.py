"""A server on loopback that speaks the OpenAI chat protocol, in a process of its own: answers from the request, and fails on command.

    python tests/chat_server.py [--delay 0.0] [--errors 0.02] [--hangs 0.01] [--broken 0.01] [--log FILE]

It prints its port. A prompt may hold a command, such as `#500:2` (fail twice, then answer), or stand under a share (`--errors`): then the hash of the prompt decides, and it
fails the first time only. Commands: 500, 429 (with Retry-After), 400, 401, 404, hang, cut (a body that ends early), drip (a byte now and then), notjson, html, echo_key, huge (10 MB),
gzip (a small body that unfolds to 10 MB), empty, long (finish_reason length), refuse, prose (no JSON), fence, wrong (JSON that does not fit the schema), sse (a stream, even if none was asked for), sse_cut.
Every request that arrives is a line of the log: its prompt's hash, when it came, whether it was answered."""
import argparse
import asyncio
import gzip
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path


def fits(schema: dict, prompt: str) -> dict:
    "An answer that fits a simple schema, made from the prompt"
    n = int(hashlib.sha256(prompt.encode()).hexdigest(), 16)
    made: dict = {}
    for name, about in schema.get("properties", {}).items():
        if "enum" in about: made[name] = about["enum"][n % len(about["enum"])]
        else: made[name] = {"integer": n % 10, "number": n % 10/2, "boolean": bool(n % 2), "array": []}.get(about.get("type"), f"{len(prompt)} characters")
    return made


def answer(messages: list[dict], schema: dict | None) -> str:
    "The text of an answer: data for a schema, else a word about the prompt"
    prompt = messages[-1]["content"] if len(messages) < 3 else next(m["content"] for m in messages if m["role"] == "user")
    if schema is None and (found := re.search(r"fits this JSON schema, and nothing else:\n(\{.*\})", prompt, re.S)): schema = json.loads(found[1])
    return json.dumps(fits(schema, prompt)) if schema else f"{len(prompt.split())} words"


class Server:
    def __init__(self, options):
        self.options, self.seen, self.now, self.most = options, Counter(), 0, 0
        self.log = open(options.log, "a", buffering=1) if options.log else None

    def command(self, prompt: str, name: str) -> str:
        "What to do with a request"
        self.seen[name] += 1
        if found := re.search(r"#(\w+)(?::(\d+))?", prompt):
            return found[1] if found[2] is None or self.seen[name] <= int(found[2]) else ""
        share = int(name[:8], 16)/16**8
        for kind, part in (("500", self.options.errors), ("hang", self.options.hangs), ("notjson", self.options.broken)):
            if share < part: return kind if self.seen[name] == 1 else ""
            share -= part
        return ""

    async def client(self, reader, writer):
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                size = int(re.search(r"content-length: *(\d+)", head, re.I)[1]) if "content-length" in head.lower() else 0
                await self.reply(json.loads(await reader.readexactly(size) or b"{}"), head, writer)
        except (asyncio.IncompleteReadError, ConnectionError): pass
        finally: writer.close()

    async def reply(self, asked, head, writer):
        messages = asked["messages"]
        text = json.dumps([asked.get("model"), messages])
        name = hashlib.sha256(text.encode()).hexdigest()
        do = self.command(messages[0]["content"], hashlib.sha256(messages[0]["content"].encode()).hexdigest())
        self.now, came = self.now + 1, time.time()
        self.most = max(self.most, self.now)
        try:
            if self.options.delay: await asyncio.sleep(self.options.delay)
            if do == "hang": await asyncio.sleep(3600)
            schema = asked.get("response_format", {}).get("json_schema", {}).get("schema")
            said = {"prose": "I cannot say {that}.", "fence": f"Here:\n```json\n{answer(messages, schema)}\n```", "wrong": '{"outcome": 3}', "empty": "", "huge": "x"*10_000_000}.get(do) or ("" if do == "empty" else answer(messages, schema))
            await self.send(do, said, head, asked.get("stream") or do.startswith("sse"), writer)
        finally:
            self.now -= 1
            if self.log: self.log.write(json.dumps({"name": name, "model": asked.get("model"), "prompt": messages[-1]["content"][-300:], "came": came, "sent": time.time(), "do": do, "most": self.most}) + "\n")

    async def send(self, do, said, head, stream, writer):
        usage = {"prompt_tokens": 10, "completion_tokens": 5}
        key = re.search(r"authorization: *Bearer (\S+)", head, re.I)
        body = json.dumps({"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": usage, "choices": [{"index": 0, "finish_reason": "length" if do == "long" else "stop",
                           "message": {"role": "assistant", "content": said, **({"refusal": "I may not."} if do == "refuse" else {})}}]}).encode()
        status, kind, extra = "200 OK", "application/json", ""
        if do == "500": status, body = "500 Oops", b'{"error": {"message": "internal"}}'
        if do == "429": status, body, extra = "429 Too Many Requests", b'{"error": {"message": "slow down"}}', "retry-after: 0.3\r\n"
        if do == "400": status, body = "400 Bad Request", b'{"error": {"message": "context length exceeded"}}'
        if do == "401": status, body = "401 Unauthorized", json.dumps({"error": {"message": f"Incorrect API key provided: {key[1] if key else None}"}}).encode()
        if do == "404": status, body = "404 Not Found", b'{"error": {"message": "no such model"}}'
        if do == "echo_key": status, body = "400 Bad Request", f"who is {key[1] if key else None}?".encode()
        if do == "notjson": body = b'{"choices": [{"message": {"content": "half'
        if do == "html": body, kind = b"<html><body>Bad gateway</body></html>", "text/html"
        if do == "gzip": body, extra = gzip.compress(b" "*10_000_000 + body), "content-encoding: gzip\r\n"
        if stream and status.startswith("200"):
            pieces = [{"choices": [{"index": 0, "delta": {"content": said[n:n + 5]}}]} for n in range(0, len(said), 5)]
            if do != "sse_cut": pieces += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
            body, kind = ("".join(f"data: {json.dumps(p)}\n\n" for p in pieces) + "data: [DONE]\n\n"*(do != "sse_cut")).encode(), "text/event-stream"
        writer.write(f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{extra}content-length: {len(body)}\r\n\r\n".encode())
        if do == "cut": body = body[:len(body)//2]
        if do == "drip":
            for byte in body:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0.3)
        writer.write(body)
        await writer.drain()
        if do == "cut": raise ConnectionError


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("delay", "errors", "hangs", "broken"): parser.add_argument(f"--{name}", type=float, default=0.0)
    parser.add_argument("--log", default="")
    parser.add_argument("--parent", type=int, default=0)
    options = parser.parse_args()
    async def serve() -> None:
        server = await asyncio.start_server(Server(options).client, "127.0.0.1", 0, limit=1 << 26)
        print(server.sockets[0].getsockname()[1], flush=True)
        while not options.parent or os.getppid() == options.parent: await asyncio.sleep(0.5)   # ends with whoever started it
    asyncio.run(serve())


class Running:
    "A server that is running: its address, and what it was asked"
    def __init__(self, url: str, log: Path): self.url, self.log = url, log

    def requests(self) -> list[dict]: return [json.loads(text) for text in self.log.read_text().splitlines()] if self.log.exists() else []


@contextmanager
def chat_server(folder: Path, **options: float):
    "A server in a process of its own, for as long as the block lasts"
    log = folder/f"server-{time.time_ns()}.log"
    given = [x for k, v in options.items() for x in (f"--{k}", str(v))]
    process = subprocess.Popen([sys.executable, __file__, "--log", str(log), "--parent", str(os.getpid()), *given], stdout=subprocess.PIPE, text=True)
    try: yield Running(f"http://127.0.0.1:{int(process.stdout.readline())}/v1", log)
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__": main()
