"""The socket that a server listens on."""

import asyncio
import socket

from gateway.server.running import bind


def test_an_answer_does_not_wait_for_the_client_s_acknowledgement() -> None:
    """asyncio turns Nagle's algorithm off only for sockets that say they are TCP."""

    async def accepted() -> int:
        seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            one: socket.socket = writer.get_extra_info("socket")
            seen.set_result(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listener = bind("127.0.0.1", 0)
        async with await asyncio.start_server(note, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            found = await seen
            writer.close()
            await writer.wait_closed()
        return found

    assert asyncio.run(accepted())
