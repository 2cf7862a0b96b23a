"""Serving the page on this machine alone, with temporary files in a folder that is removed at the end."""

import contextlib
import os
import re
import signal
import socket
import sys
import tempfile
import threading

HOST = "127.0.0.1"
# The page loads nothing from other servers, whatever Gradio's own pages name.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; frame-ancestors 'none'; "
    "worker-src 'self' blob:"  # gr.ImageEditor decodes in workers
)
# What the page asks of Gradio, which has more: lists of functions, records, files of other servers.
_API = re.compile(
    "/gradio_api/(queue/.*|run/.*|upload|upload_progress|cancel|reset|heartbeat/.*|component_server|"
    "startup-events|theme.css|file=/.*)"
)


@contextlib.contextmanager
def temporary_folder():
    """Keeps temporary files, also Gradio's if it is imported later, in a folder that signals remove."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    try:
        made = tempfile.TemporaryDirectory(prefix="pixelcnn_aux-", ignore_cleanup_errors=True)
        with made as folder:
            folder = tempfile.tempdir = os.path.realpath(folder)
            # Matplotlib, which Gradio imports, writes a list of fonts.
            os.environ |= dict.fromkeys(("TMPDIR", "GRADIO_TEMP_DIR", "MPLCONFIGDIR"), folder)
            os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
            yield
    except SystemExit as end:
        # Python would wait for threads that compute.
        os._exit(end.code)


def bound(port):
    """A listening socket of this machine's own address, where early requests wait."""
    try:
        return socket.create_server((HOST, port))
    except OSError as error:
        raise OSError(
            f"Expected a port of this machine that is free. Received: {port} ({os.strerror(error.errno)}). "
            "Give another --port; 0 takes any."
        ) from error


def application(page, *, css, max_bytes):
    """The ASGI application of a page, `gradio.Blocks`. It takes files of at most `max_bytes`."""
    import fastapi
    import gradio as gr
    from starlette import datastructures, responses

    fonts = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}
    no_documents = dict.fromkeys(("docs_url", "redoc_url", "openapi_url"))
    mounted = gr.mount_gradio_app(
        fastapi.FastAPI(**no_documents),
        page,
        path="/",
        server_name=HOST,
        app_kwargs=no_documents,
        footer_links=[],
        run_history=False,  # which offers to keep runs elsewhere
        max_file_size=max_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=gr.themes.Default(**fonts),
        css=css,
    )

    async def guarded(scope, receive, send):
        """Refuses requests by other names of this machine, from other servers' pages, or beyond `_API`."""
        if scope["type"] != "http":
            return await mounted(scope, receive, send)
        headers = datastructures.Headers(scope=scope)
        host = headers.get("host", "")
        own = f"http://{host}"
        if host.partition(":")[0] not in (HOST, "localhost") or headers.get("origin", own) != own:
            text = f"Expected a request of a page of this server. Received: {host!r:.80}."
            return await responses.PlainTextResponse(text, 403)(scope, receive, send)
        if scope["path"].startswith("/gradio_api") and not _API.fullmatch(scope["path"]):
            return await responses.PlainTextResponse("Not found", 404)(scope, receive, send)

        async def with_policy(message):
            if message["type"] == "http.response.start":
                policy = (b"content-security-policy", _POLICY.encode())
                message = {**message, "headers": [*message["headers"], policy]}
            await send(message)

        return await mounted(scope, receive, with_policy)

    return guarded


def serve(application, opened):
    """Serves an application on a socket until a signal ends the process, which does not wait for work."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application, log_level="error"))
    thread = threading.Thread(target=server.run, args=[[opened]], daemon=True)
    thread.start()
    thread.join()  # until a signal
