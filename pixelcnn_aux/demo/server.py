"""Serves the page on this machine only, with temporary files in a folder that is removed at the end."""

import contextlib
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading

HOST = "127.0.0.1"
# The page loads nothing from other servers, even if Gradio's own pages refer to them.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; frame-ancestors 'none'; "
    "worker-src 'self' blob:"  # gr.ImageEditor decodes in workers
)
# The requests of the page. Gradio's other routes serve component functions, records, other servers' files.
_ROUTES = re.compile(
    r"GET /(|theme\.css|favicon\.ico|(assets|static)/.*|gradio_api/(queue/data|heartbeat/.*|file=/.*))|"
    "POST /gradio_api/(queue/join|cancel|upload)"
)
_MAX_BYTES = 2**16  # of a request without a file


@contextlib.contextmanager
def temporary_folder():
    """Keeps temporary files, also Gradio's if imported later, in a folder; removes it also on signals."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is signal.SIG_DFL:  # not under nohup
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    directory = tempfile.TemporaryDirectory(prefix="pixelcnn_aux-", ignore_cleanup_errors=True)
    try:
        with directory as folder:
            folder = tempfile.tempdir = os.path.realpath(folder)
            # MPLCONFIGDIR: Matplotlib, imported by Gradio, writes a list of fonts.
            os.environ |= dict.fromkeys(("TMPDIR", "GRADIO_TEMP_DIR", "MPLCONFIGDIR"), folder)
            os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_ANALYTICS_MAX_EVENTS": "1"}
            yield
    except SystemExit as end:
        # Don't wait for computing threads, as Python would. They may have written while files were removed.
        shutil.rmtree(directory.name, ignore_errors=True)
        os._exit(end.code)


def bound(port):
    """Returns a socket that listens on `HOST`; early requests wait."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(
            f"Expected a free port of this machine. Received: {port} ({os.strerror(error.errno)}). "
            "Give another --port; 0 takes any."
        ) from error


def application(page, *, css, max_bytes):
    """The ASGI application of a page, `gradio.Blocks`, with uploads of at most `max_bytes`."""
    import fastapi
    import gradio as gr
    from starlette import datastructures, exceptions, responses

    def refused(status, received):
        text = f"Expected a request of this server's page. Received: {received}. Reload the page."
        return responses.PlainTextResponse(text, status)

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    mounted = gr.mount_gradio_app(
        fastapi.FastAPI(),
        page,
        path="/",
        server_name=HOST,
        app_kwargs={"exception_handlers": {Exception: lambda *_: refused(400, "another")}},
        footer_links=[],
        run_history=False,  # it offers to keep runs elsewhere
        max_file_size=max_bytes,
        ssr_mode=False,
        theme=gr.themes.Default(**fonts),
        css=css,
    )

    async def guarded(scope, receive, send):
        """Refuses requests to other host names, from other servers' pages, or beyond `_ROUTES`."""
        if scope["type"] == "lifespan":
            return await mounted(scope, receive, send)
        headers = datastructures.Headers(scope=scope)
        host, path = headers.get("host", ""), scope["path"]
        own = f"http://{host}"
        if host.partition(":")[0] not in (HOST, "localhost") or headers.get("origin", own) != own:
            return await refused(403, f"one of {host!r:.80}")(scope, receive, send)
        if not _ROUTES.fullmatch(f"{scope.get('method')} {path}"):
            return await refused(404, f"{path!r:.80}")(scope, receive, send)
        left = _MAX_BYTES + max_bytes * path.endswith("upload")

        async def bounded():
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0:
                raise exceptions.HTTPException(413)
            return message

        async def with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy]}
            await send(message)

        with contextlib.suppress(Exception):  # already answered by `refused`
            await mounted(scope, bounded, with_policy)

    return guarded


def serve(application, opened):
    """Serves an application on a socket until a signal ends the process."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, log_level="critical"))
    thread = threading.Thread(target=server.run, args=[[opened]], daemon=True)
    thread.start()
    thread.join()  # until a signal
