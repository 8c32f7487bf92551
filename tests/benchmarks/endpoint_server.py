"""A chat-completions server that costs almost nothing: it counts the bytes of a body, waits, and answers a fixed text.

For benchmarks alone, in a process of its own. The latency is in the path: ``/300/v1/chat/completions`` waits 300 ms.
Prints its port on the first line.
"""

from __future__ import annotations

import asyncio
import json
import re

HEAD = re.compile(rb"POST /(\d+)/.*?\r\n.*?content-length: *(\d+)\r\n", re.IGNORECASE | re.DOTALL)
TEXT = '{"type": "dress", "color": "white", "pattern": "floral", "neckline": "v-neck", "brand": null}'
BODY = json.dumps(
    {
        "id": "chatcmpl-0",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 40, "total_tokens": 1040},
    }
).encode()
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY


class Connection(asyncio.BufferedProtocol):
    """Reads a head, counts its body down, answers after the latency. All connections read into one buffer."""

    buffer = bytearray(1024 * 1024)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.head = b""
        self.left = 0
        self.latency_s = 0.0

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, count: int) -> None:
        if not self.left:
            self.head += bytes(self.buffer[:count])
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            found = HEAD.match(self.head[: end + 2])
            assert found is not None, self.head[:200]
            self.latency_s, self.left = int(found[1]) / 1000, int(found[2])
            count = len(self.head) - end - 4
            self.head = b""
        self.left -= count
        if self.left == 0:
            asyncio.get_running_loop().call_later(self.latency_s, self.answer)

    def answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


async def main() -> None:
    """Serve until killed."""
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
