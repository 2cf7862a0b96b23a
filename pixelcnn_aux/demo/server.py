"""Serves the page on this machine alone, and keeps what it writes in a folder that is gone afterwards."""

import contextlib
import os
import pathlib
import signal
import socket
import sys
import tempfile
import threading

HOST = "127.0.0.1"
_FOLDER = pathlib.Path(__file__).parent
# The page may load what this server has, and nothing else: whatever Gradio's own pages name.
_POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "frame-ancestors 'none'",
    ]
)


@contextlib.contextmanager
def temporary_folder():
    """From here on all temporary files of this process, Gradio's too, are in one folder, removed in the end.

    To be entered before Gradio is imported, which asks for its folder then. Within it Ctrl-C and SIGTERM end
    the process, with the status of shells, once the folder is removed.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        with tempfile.TemporaryDirectory(
            prefix="pixelcnn_aux-", ignore_cleanup_errors=True
        ) as folder:
            tempfile.tempdir = os.environ["TMPDIR"] = os.environ["GRADIO_TEMP_DIR"] = folder
            os.environ["MPLCONFIGDIR"] = (
                folder  # where matplotlib, which Gradio imports, lists fonts
            )
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            yield
    except SystemExit as end:
        # Python would end under threads that compute, in which TensorFlow aborts then.
        os._exit(end.code)


def bound(port):
    """A socket of this machine's own address. Raises OSError for a port that is taken or refused."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((HOST, port))
        found.listen()  # who comes early waits
    except OSError as error:
        found.close()
        raise OSError(
            f"Expected a port of this machine that is free. Received: {port} ({error.strerror}). Give "
            "another --port; 0 takes any."
        ) from error
    return found


def application(page, max_bytes):
    """The application, ASGI, of a page: `gradio.Blocks`. No file larger than `max_bytes` is taken."""
    import fastapi
    import gradio as gr

    system = ["system-ui", "sans-serif"]
    theme = gr.themes.Default(font=system, font_mono=["ui-monospace", "monospace"])
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
        css_paths=[_FOLDER / "page.css"],
        head=f"<script>{(_FOLDER / 'paint.js').read_text()}</script>",
    )
    return guarded(mounted)


def guarded(application):
    """An application for pages of this server alone: not for those of others, whatever names they give it."""

    async def guard(scope, receive, send):
        if scope["type"] != "http":
            return await application(scope, receive, send)
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        host = headers.get("host", "")
        if (
            host.partition(":")[0] not in (HOST, "localhost")
            or headers.get("origin", f"http://{host}") != f"http://{host}"
        ):
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
    """Serves an application on a socket until the process is told to end, which does not wait for work."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=server.run, args=[[opened]], daemon=True)
    thread.start()
    thread.join()  # which signals end
