"""A stand-in for the Hugging Face Hub, in memory: the part of its HTTP API that huggingface_hub uses here."""

import base64
import contextlib
import hashlib
import http.server
import json
import re
import threading
import urllib.parse

HOST = "127.0.0.1"
TOKEN = "hf_writer"  # the only user who may write and read private repositories
NOT_FOUND = {"X-Error-Code": "RepoNotFound"}


class Hub:
    """Repositories, as dicts of path -> bytes, commit by commit.

    Attributes:
      commits: dict, "OWNER/NAME" -> list of such dicts, the newest last.
      private: set of names.
      listed: dict, path -> int, sizes that it lists instead of the real ones.
      served: list of the paths of files that were read.
    """

    def __init__(self):
        self.commits, self.private = {}, set()
        self.listed, self.served = {}, []
        self.objects = {}  # SHA-256 -> bytes, large files that were uploaded

    def files(self, name):
        return self.commits[name][-1]

    def revision(self, name, revision):
        """(commit, files) of a branch or commit; files are None for an unknown one."""
        found = {commit_of(name, files): files for files in self.commits[name]}
        newest = list(found.items())[-1]
        return newest if revision == "main" else (revision, found.get(revision))


def commit_of(name, files):
    contents = [name, *(f"{path} {digest(data)}" for path, data in sorted(files.items()))]
    return digest("\n".join(contents).encode())[:40]


def digest(data):
    return hashlib.sha256(data).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Logs nothing."""

    def answer(self, status=200, data=b"", headers=None):
        self.send_response(status)
        for key, value in {"Content-Length": len(data), **(headers or {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def answer_json(self, value):
        self.answer(data=json.dumps(value).encode())

    def body(self):
        return self.rfile.read(int(self.headers["Content-Length"]))

    def allowed(self):
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = urllib.parse.unquote(urllib.parse.urlparse(self.path).path)
        if found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/(.+))?", path):
            name, what, revision = found.groups()
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name, revision, what = found[1], found[2], "file"
        else:
            return self.answer(404)
        if name not in self.hub.commits or (name in self.hub.private and not self.allowed()):
            # Without a login, the Hub does not distinguish these two.
            return self.answer(404 if self.allowed() else 401, headers=NOT_FOUND)
        commit, files = self.hub.revision(name, revision or "main")
        if files is None:
            return self.answer(404, headers={"X-Error-Code": "RevisionNotFound"})
        if what == "file":
            data = files[found[3]]
            self.hub.served += [found[3]] if self.command == "GET" else []
            return self.answer(data=data, headers={"ETag": digest(data), "X-Repo-Commit": commit})
        sizes = {file: self.hub.listed.get(file, len(data)) for file, data in files.items()}
        if what == "tree":
            kind = {"type": "file", "oid": "0" * 40}
            return self.answer_json([{**kind, "path": x, "size": sizes[x]} for x in files])
        siblings = [{"rfilename": file, "size": sizes[file]} for file in files]
        return self.answer_json({"id": name, "sha": commit, "siblings": siblings})

    def do_POST(self):
        path, body = urllib.parse.urlparse(self.path).path, self.body()
        if not self.allowed():
            return self.answer(403 if self.headers.get("Authorization") else 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            is_new = name not in self.hub.commits
            self.hub.commits.setdefault(name, [{".gitattributes": b""}])
            url = f"http://{self.headers['Host']}/{name}"
            return self.answer(200 if is_new else 409, json.dumps({"url": url}).encode())
        if path == "/api/validate-yaml":
            return self.answer_json({"errors": [], "warnings": []})
        if path.endswith("/preupload/main"):
            modes = {True: "lfs", False: "regular"}
            paths = [file["path"] for file in json.loads(body)["files"]]
            found = [(path, modes[path.endswith(".safetensors")]) for path in paths]
            keys = ("path", "uploadMode", "shouldIgnore")
            return self.answer_json({"files": [dict(zip(keys, (*x, False))) for x in found]})
        if path.endswith("/info/lfs/objects/batch"):
            upload = f"http://{self.headers['Host']}/upload"
            objects = [
                {**x, "actions": {"upload": {"href": f"{upload}/{x['oid']}"}}}
                for x in json.loads(body)["objects"]
            ]
            return self.answer_json({"transfer": "basic", "objects": objects})
        name = re.fullmatch(r"/api/models/(.+)/commit/main", path)[1]
        files = dict(self.hub.files(name))
        for line in body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            if value.get("parentCommit") not in (None, self.hub.revision(name, "main")[0]):
                return self.answer(412)
            if operation["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif operation["key"] == "lfsFile":
                files[value["path"]] = self.hub.objects[value["oid"]]
            elif operation["key"] == "deletedFile":
                del files[value["path"]]
        self.hub.commits[name].append(files)
        url = f"http://{self.headers['Host']}/{name}/commit/{commit_of(name, files)}"
        return self.answer_json({"commitUrl": url, "commitOid": commit_of(name, files)})

    def do_PUT(self):
        data = self.body()
        self.hub.objects[digest(data)] = data
        self.answer()


@contextlib.contextmanager
def serving():
    """Yields a `Hub` and its address."""
    hub = Hub()
    handler = type("Handler", (Handler,), {"hub": hub})
    with http.server.ThreadingHTTPServer((HOST, 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=[0.02], daemon=True).start()
        yield hub, f"http://{HOST}:{server.server_port}"
        server.shutdown()
