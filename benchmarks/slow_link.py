"""A link between two ports of this machine that is as slow as a network: latency and rate."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["slow_link"]

_CHUNK = 64 << 10


@contextmanager
def slow_link(target: int, delay_ms: float, mb_per_second: float) -> Iterator[int]:
    """The port of a link to the port ``target``.

    Args:
        target: port of the server.
        delay_ms: one way, of every byte.
        mb_per_second: rate of all connections together, each way.
    """
    words = [__file__, str(target), str(delay_ms), str(mb_per_second)]
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as link:
        try:
            assert link.stdout is not None
            yield int(link.stdout.readline())
        finally:
            link.terminate()


class _Wire:
    """One direction: bytes leave one after the other, and arrive later."""

    def __init__(self, delay: float, rate: float) -> None:
        self._delay = delay
        self._rate = rate
        self._free = 0.0

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Pass on what comes until there is no more."""
        clock = asyncio.get_running_loop().time
        queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(64)
        delivery = asyncio.create_task(self._deliver(queue, sink))
        while data := await source.read(_CHUNK):
            self._free = max(self._free, clock()) + len(data) / self._rate
            await asyncio.sleep(self._free - clock())
            await queue.put((self._free + self._delay, data))
        await queue.put((0.0, b""))
        await delivery

    async def _deliver(
        self, queue: asyncio.Queue[tuple[float, bytes]], sink: asyncio.StreamWriter
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due, data = await queue.get()
            if not data:
                sink.close()
                return
            await asyncio.sleep(max(0.0, due - clock()))
            sink.write(data)
            await sink.drain()


async def _serve(target: int, delay: float, rate: float) -> None:
    there, back = _Wire(delay, rate), _Wire(delay, rate)

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        ways = (there.carry(reader, far_writer), back.carry(far_reader, writer))
        await asyncio.gather(*ways, return_exceptions=True)

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    port, delay_ms, megabytes = sys.argv[1:]
    asyncio.run(_serve(int(port), float(delay_ms) / 1e3, float(megabytes) * 1e6))
