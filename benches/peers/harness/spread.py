"""Many open connections under a fixed load that is spread over them evenly in time, until standard input ends.

Prints `ready` when all are open and have been answered once, and in the end, as JSON, how many requests were due, and how many of
them were left out because their connection still waited for its last answer. Each connection has its turn, one after the other.
"""

import json
import select
import socket
import sys
import time

REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n"
END = b"0123456789012\n"
TURN_S = 0.002


def opened(port, count):
    connections = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=5)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(REQUEST)
        if not connection.recv(4096).endswith(END):
            raise OSError("an answer was cut off")
        connection.setblocking(False)
        connections.append(connection)
    return connections


def main():
    port, count, rate = map(int, sys.argv[1:])
    connections = opened(port, count)
    by_number = {connection.fileno(): connection for connection in connections}
    ready = select.epoll()
    for number in by_number:
        ready.register(number, select.EPOLLIN)
    ready.register(sys.stdin.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    started, turns, late, waiting = time.monotonic(), 0, 0, set()
    while True:
        due = int((time.monotonic() - started) * rate)
        for turn in range(turns, due):
            connection = connections[turn % count]
            if connection.fileno() in waiting:
                late += 1
            else:
                waiting.add(connection.fileno())
                connection.send(REQUEST)
        turns = due
        for number, _ in ready.poll(TURN_S, 1024):
            if number == sys.stdin.fileno():
                print(json.dumps({"due": turns, "late": late}))
                return
            answer = by_number[number].recv(65536)
            if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(END):
                raise SystemExit(f"an answer is {answer[:100]!r}")
            waiting.remove(number)


if __name__ == "__main__":
    main()
