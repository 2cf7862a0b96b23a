"""Serving the page on this machine alone, with temporary files in a folder that is removed at the end."""

import contextlib
import os
import signal
import socket
import sys
import tempfile
import threading

HOST = "127.0.0.1"
# The page loads nothing from other servers, whatever Gradio's own pages name.
_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",  # gr.ImageEditor decodes in workers
        "frame-ancestors 'none'",
    ]
)


@contextlib.contextmanager
def temporary_folder():
    """Keeps all temporary files of this process, Gradio's too, in one folder, which it removes at the end.

    Enter it before Gradio is imported, which reads its folder then. Within it Ctrl-C and SIGTERM end the
    process, with the status of shells, once the folder is removed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        made = tempfile.TemporaryDirectory(prefix="pixelcnn_aux-", ignore_cleanup_errors=True)
        with made as folder:
            tempfile.tempdir = folder
            # Matplotlib, which Gradio imports, writes a list of fonts.
            os.environ |= dict.fromkeys(("TMPDIR", "GRADIO_TEMP_DIR", "MPLCONFIGDIR"), folder)
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            yield
    except SystemExit as end:
        # If Python ended while threads compute, TensorFlow would abort.
        os._exit(end.code)


def bound(port):
    """A socket of this machine's own address. Raises OSError for a port that is not free."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # early requests wait
    except OSError as error:
        found.close()
        raise OSError(
            f"Expected a port of this machine that is free. Received: {port} ({error.strerror}). Give "
            "another --port; 0 takes any."
        ) from error
    return found


def application(page, *, css, max_bytes):
    """The application, ASGI, of a page: `gradio.Blocks`. It takes files of at most `max_bytes`."""
    import fastapi
    import gradio as gr

    theme = gr.themes.Default(
        font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
    )
    mounted = gr.mount_gradio_app(
        fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
        page,
        path="/",
        server_name=HOST,
        footer_links=[],
        run_history=False,  # which offers to keep runs elsewhere
        max_file_size=max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme,
        css=css,
    )
    return guarded(mounted)


def guarded(application):
    """The application, closed to requests by other names of this machine or from other servers' pages."""

    async def guard(scope, receive, send):
        if scope["type"] != "http":
            return await application(scope, receive, send)
        headers = {key: value.decode("latin-1") for key, value in scope["headers"]}
        host = headers.get(b"host", "")
        own = f"http://{host}"
        if host.partition(":")[0] not in (HOST, "localhost") or headers.get(b"origin", own) != own:
            text = f"Expected a request of a page of this server. Received: {host!r:.80}."
            head = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": head})
            return await send({"type": "http.response.body", "body": text.encode()})

        async def with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy]}
            await send(message)

        return await application(scope, receive, with_policy)

    return guard


def serve(application, opened):
    """Serves an application on a socket until a signal ends the process, which does not wait for work."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=server.run, args=[[opened]], daemon=True)
    thread.start()
    thread.join()  # until a signal
