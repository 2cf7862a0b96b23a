"""An HTTP request that ends by its deadline and reads no more than it may."""

import contextlib
import http.client
import queue
import socket
import threading

from pixelcnn_aux.serving import answers

ERROR_BYTES = 2**16  # of what a server says of an error


def ask(server, path, body, limit, timeout):
    """The answer to a request. Redirects are not followed, and nothing is decompressed.

    Args:
      server: str, HOST:PORT.
      path: str, quoted.
      body: bytes to POST, or None to GET.
      limit: int, the most bytes of the answer's body.
      timeout: float, seconds for all of it: names looked up, connecting, sending and receiving.

    Returns:
      (int, the status; str, its reason; bytes, the body), of errors its first bytes.

    Raises:
      TimeoutError: no whole answer in time.
      OSError: no server, or a connection that it broke.
      http.client.HTTPException: no HTTP, or an answer that is cut short.
      WrongAnswer: an answer above the limit.
    """
    connection = http.client.HTTPConnection(server, timeout=timeout)
    received, over, sockets = queue.SimpleQueue(), threading.Event(), []

    def work():
        try:
            connection.connect()
            sockets.append(connection.sock)  # the connection lets go of it before the body is read
            if not over.is_set():
                received.put(_answer(connection, path, body, limit))
        except Exception as error:
            received.put(error)
        finally:
            connection.close()

    # A thread: a timeout of the socket starts anew with every byte, and does not hold for looking up names.
    threading.Thread(target=work, daemon=True).start()
    try:
        answer = received.get(timeout=timeout)
    except queue.Empty:
        raise TimeoutError("no whole answer") from None
    finally:
        over.set()
        for opened in sockets:  # ends what the thread may still wait for
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
    if isinstance(answer, Exception):
        raise answer
    return answer


def _answer(connection, path, body, limit):
    headers = {"Connection": "close", "Content-Type": "application/json"}
    connection.request("GET" if body is None else "POST", path, body, headers)
    with connection.getresponse() as response:
        limit = limit if response.status == 200 else ERROR_BYTES
        content = response.read(limit + 1)
        if len(content) > limit:
            if response.status == 200:
                raise answers.WrongAnswer(f"at most {limit} bytes", "more")
        elif response.length:
            raise http.client.IncompleteRead(content, response.length)
        return response.status, response.reason, content
