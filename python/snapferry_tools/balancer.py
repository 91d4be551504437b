"""A small TCP balancer: passes connections on to the servers that answer, one after another.

Knows nothing of what passes, only that a server is well which answers GET /healthz with 200 in time. The
connections to one that is not are cut, as real balancers do, so that its callers turn to the others.
Run as a program: balancer.py LISTEN TARGET..., each ADDRESS:PORT.
"""
import asyncio
import contextlib
import itertools
import sys

PROBE_SECONDS, PROBE_WAIT = 0.3, 1.0
CHUNK = 256 << 10


class Target:
    """A server behind the balancer."""

    def __init__(self, address):
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.is_well = False
        self.passing = set()

    async def probe(self):
        """Whether it answers in time."""
        writer = None
        try:
            async with asyncio.timeout(PROBE_WAIT):
                reader, writer = await asyncio.open_connection(self.host, self.port)
                writer.write(f"GET /healthz HTTP/1.1\r\nHost: {self.host}\r\nConnection: close\r\n\r\n".encode())
                return b" 200 " in await reader.readline()
        except (OSError, TimeoutError):
            return False
        finally:
            if writer:
                writer.close()

    async def watch(self):
        """Probes it for ever."""
        while True:
            self.is_well = await self.probe()
            if not self.is_well:
                for task in list(self.passing):
                    task.cancel()
            await asyncio.sleep(PROBE_SECONDS)


class Balancer:
    """The targets, taken in turns."""

    def __init__(self, targets):
        self.targets = targets
        self.turns = itertools.cycle(targets)

    async def serve(self, reader, writer):
        """One connection."""
        upstream = None
        try:
            for _ in self.targets:
                target = next(self.turns)
                if not target.is_well:
                    continue
                with contextlib.suppress(OSError, TimeoutError):
                    async with asyncio.timeout(PROBE_WAIT):
                        upstream = await asyncio.open_connection(target.host, target.port)
                    break
            if upstream:
                task = asyncio.current_task()
                target.passing.add(task)
                try:
                    await self._pass(reader, writer, *upstream)
                finally:
                    target.passing.discard(task)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for one in (writer, upstream[1] if upstream else None):
                if one:
                    one.transport.abort() if one.transport.is_closing() else one.close()

    async def _pass(self, reader, writer, up_reader, up_writer):
        async def one_way(source, sink):
            while data := await source.read(CHUNK):
                sink.write(data)
                await sink.drain()

        ways = [asyncio.ensure_future(one_way(reader, up_writer)), asyncio.ensure_future(one_way(up_reader, writer))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)


async def main(listen, *targets):
    """Serves until it is ended."""
    host, _, port = listen.rpartition(":")
    balancer = Balancer([Target(target) for target in targets])
    watching = [asyncio.ensure_future(target.watch()) for target in balancer.targets]
    server = await asyncio.start_server(balancer.serve, host, int(port))
    async with server:
        await asyncio.gather(server.serve_forever(), *watching)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(*sys.argv[1:]))
