"""Says on standard output where it listens, and sends every message back."""

import asyncio
import logging

from websockets.asyncio.server import serve


async def echo(connection):
    async for message in connection:
        await connection.send(message)


async def main():
    async with serve(echo, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()


# It tells of each connection that ends otherwise than well, which is what the cases are about.
logging.disable()
asyncio.run(main())
