"""What other threads say reaches an event loop whole, in order, and before what they do later."""

import asyncio
import threading

from gateway.engine.mailbox import Mailbox

THREADS, ITEMS = 4, 500


def test_every_item_arrives_in_its_thread_s_order_and_before_what_the_thread_schedules_behind() -> (
    None
):
    async def received() -> list[list[int | None]]:
        loop = asyncio.get_running_loop()
        mailbox = Mailbox(loop)
        queues: list[asyncio.Queue[int | None]] = [asyncio.Queue() for _ in range(THREADS)]

        def say(queue: "asyncio.Queue[int | None]") -> None:
            for item in range(ITEMS):
                mailbox.put(queue, item)
            loop.call_soon_threadsafe(queue.put_nowait, None)

        threads = [threading.Thread(target=say, args=(queue,)) for queue in queues]
        for thread in threads:
            thread.start()
        found = [[await queue.get() for _ in range(ITEMS + 1)] for queue in queues]
        for thread in threads:
            thread.join()
        return found

    assert asyncio.run(received()) == [[*range(ITEMS), None]] * THREADS


def test_the_loop_is_woken_once_for_all_that_is_put_before_it_delivers() -> None:
    woken = []

    class Loop:
        def call_soon_threadsafe(self, deliver: object) -> None:
            woken.append(deliver)

    mailbox = Mailbox(Loop())  # type: ignore[arg-type]
    queue: asyncio.Queue[int] = asyncio.Queue()
    for item in range(3):
        mailbox.put(queue, item)
    assert len(woken) == 1
    woken[0]()  # type: ignore[operator]
    mailbox.put(queue, 3)
    assert [queue.get_nowait() for _ in range(3)] == [0, 1, 2]
    assert len(woken) == 2
