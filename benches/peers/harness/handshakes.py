"""Connections over TLS with one request each, from a few threads, until standard input ends.

Prints, as JSON, how many there were, how many resumed a session, and by what TLS. Run by load.py with conf/openssl.cnf.
"""

import json
import select
import socket
import ssl
import sys
import threading
from collections import Counter

THREADS = 8
REQUEST = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n"


def connect(context, port, session):
    """One request on a connection of its own. Returns the connection, ended, as which it has the session for the next."""
    plain = socket.create_connection(("127.0.0.1", port), timeout=5)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with context.wrap_socket(plain, session=session) as secured:
        secured.sendall(REQUEST)
        answer = b""
        while received := secured.recv(4096):
            answer += received
        if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"0123456789012\n"):
            raise OSError(f"answered {answer[:100]!r}")
        return secured.session, secured.session_reused, f"{secured.version()} {secured.cipher()[0]}"


def keep_connecting(port, resumes, counts, stop):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    session = None
    while not stop.is_set():
        try:
            new, resumed, agreed = connect(context, port, session)
        except (OSError, ValueError) as error:
            counts[f"failed: {error!r}"] += 1
            return
        session = new if resumes else None
        counts["connections"] += 1
        counts["resumed"] += resumed
        counts[agreed] += 1


def main():
    port, resumes = int(sys.argv[1]), sys.argv[2] == "resumed"
    stop, counts = threading.Event(), [Counter() for _ in range(THREADS)]
    threads = [threading.Thread(target=keep_connecting, args=(port, resumes, each, stop)) for each in counts]
    for thread in threads:
        thread.start()
    select.select([sys.stdin], [], [])
    stop.set()
    for thread in threads:
        thread.join()
    print(json.dumps(sum(counts, Counter())))


if __name__ == "__main__":
    main()
