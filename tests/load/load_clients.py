"""The clients that make the load: each sends its requests once, and says of each how it ended."""

from __future__ import annotations

import asyncio
import zlib

from load_http import Connection, RequestFailedError, Response, Server, connect
from load_orders import Order, Orders, assets_of
from load_report import Failure, Recorder
from load_settings import CONNECTION, Settings


class Fleet:
    """All clients of one load, in one event loop."""

    def __init__(self, settings: Settings, server: Server, recorder: Recorder) -> None:
        self._settings, self._server, self._recorder = settings, server, recorder
        self._orders = Orders(settings)
        self._loop = asyncio.get_running_loop()
        self._kept: list[Connection] = []
        self._under_way = 0
        self.stopping = asyncio.Event()

    async def run(self) -> float:
        """Send until told to stop, then wait for what is under way; returns when the sending ended."""
        async with asyncio.TaskGroup() as clients:
            for _ in range(self._settings.idle_connections):
                clients.create_task(self._idle_client())
            clients.create_task(self._reader_of_pages())
            await self._send_on_schedule(clients)
            ended = self._loop.time()
        for connection in self._kept:
            connection.close()
        return ended

    async def read_page(self) -> bool:
        """As a browser does: the page, then the files it names that are not known yet. Whether all of it came."""
        response = await self._send_on_kept(self._orders.page(), self._loop.time())
        if response is None:
            return False
        for path in assets_of(response.body):
            if path in self._orders.assets:
                continue
            asset = await self._send_on_kept(self._orders.asset(path), self._loop.time())
            if asset is None:
                return False
            self._orders.assets[path] = zlib.crc32(asset.body)
        return bool(self._orders.assets)

    async def _send_on_schedule(self, clients: asyncio.TaskGroup) -> None:
        """Open loop: a slow server gets no fewer requests, as it would not from users."""
        due, interval = self._loop.time(), 1 / self._settings.scheduled_rate
        while not self.stopping.is_set():
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            clients.create_task(self._send_any(self._orders.any(), due))
            due += interval

    async def _send_any(self, order: Order, due: float) -> None:
        if order.last:
            await self._send(order, due, None)
        else:
            await self._send_on_kept(order, due)

    async def _reader_of_pages(self) -> None:
        """Whatever page it gets, its files are asked for again for the rest of the load (kind ``asset``)."""
        while not await self._stopped_within(self._settings.page_every):
            await self.read_page()

    async def _idle_client(self) -> None:
        connection: Connection | None = None
        while not await self._stopped_within(self._orders.pause()):
            connection = _reusable(connection)
            connection, _ = await self._send(self._orders.idle(), self._loop.time(), connection)

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self.stopping.wait()
        except TimeoutError:
            return False

    async def _send_on_kept(self, order: Order, due: float) -> Response | None:
        """On the connection that was used last, as browsers and pools do; on a new one where all are busy."""
        connection = None
        while self._kept and connection is None:
            connection = _reusable(self._kept.pop())
        connection, response = await self._send(order, due, connection)
        if connection is not None:
            self._kept.append(connection)
        return response

    async def _send(
        self, order: Order, due: float, connection: Connection | None
    ) -> tuple[Connection | None, Response | None]:
        """Send it once; the connection if it can be used again, and the answer if it was right."""
        self._recorder.sent(order.kind, due, self._loop.time(), order.post)
        self._under_way += 1
        response = None
        try:
            if self._under_way > self._settings.most_under_way:
                raise RequestFailedError(f"not sent: {self._settings.most_under_way} requests wait for their answers")
            connection = connection or await self._connect()
            response = await connection.exchange(order.request, order.timeout, last=order.last)
            problem = order.problem(response)
        except RequestFailedError as error:
            problem = str(error)
        finally:
            self._under_way -= 1
        self._record(order, due, problem, connection)
        alive = connection is not None and connection.alive
        return connection if alive else None, None if problem else response

    def _record(self, order: Order, due: float, problem: str, connection: Connection | None) -> None:
        now = self._loop.time()
        if problem:
            age = connection.age if connection else 0.0
            self._recorder.failed(Failure(due, now - due, order.kind, problem, age, order.correlation_id))
        else:
            self._recorder.succeeded(order.kind, due, now, order.post)

    async def _connect(self) -> Connection:
        connection = await connect(self._server, self._lost)
        self._recorder.connections += 1
        return connection

    def _lost(self, connection: Connection, error: str) -> None:
        if error:
            self._recorder.failed(Failure(self._loop.time(), 0.0, CONNECTION, error, connection.age))
        else:
            self._recorder.closed_while_idle()


def _reusable(connection: Connection | None) -> Connection | None:
    """The connection, or None where a new one is needed."""
    if connection is None or connection.reusable:
        return connection
    connection.close()
    return None
