"""What W&B's client needs of its server for runs and sweeps, on 127.0.0.1: it takes everything and remembers it."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import yaml

TIME = "2026-01-01T00:00:00"
END: dict[str, Any] = {"endCursor": None, "hasNextPage": False}
"""Of a list that has one page."""


class WandbServer:
    """A server that can go away at any moment.

    Attributes:
        calls: (operation or path, what came with it), in their order
        knows_key: whether it takes the API key of who asks
        refuses: (operation, what came with it) -> whether it is answered with an error
        views: the saved workspaces and reports, by their ids
        trials: the parameters of the runs that its sweep still has to give to agents
    """

    def __init__(self) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.knows_key = True
        self.trials: list[dict[str, Any]] = []
        self.sweep: str | None = None
        self.refuses: Callable[[str, dict[str, Any]], bool] = lambda operation, variables: False
        self.views: dict[str, dict[str, Any]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread: Thread | None = Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def go_away(self) -> None:
        """Refuse all connections from now on."""
        if self._thread:
            self._http.shutdown()
            self._http.server_close()
            self._thread.join()
            self._thread = None

    def history(self) -> list[dict[str, Any]]:
        """The rows of metrics, as they were logged."""
        streams = [body for path, body in self.calls if path.endswith("/file_stream")]
        files = [s["files"]["wandb-history.jsonl"] for s in streams if "wandb-history.jsonl" in s.get("files", {})]
        return [json.loads(line) for file in files for line in file["content"]]

    def runs(self) -> list[str]:
        """Ids of the runs that it has, in the order in which they came; one that went on is there once more."""
        return [v["name"] for operation, v in self.calls if operation == "UpsertBucket" and v.get("displayName")]

    def exit_codes(self) -> list[int]:
        """Of the runs that have ended."""
        return [b["exitcode"] for path, b in self.calls if path.endswith("/file_stream") and b.get("complete")]

    def answer(self, operation: str, v: dict[str, Any]) -> dict[str, Any]:
        """The data that a GraphQL operation with the variables `v` gets."""
        project = {"id": "1", "name": v.get("project"), "entity": {"id": "2", "name": "tester"}}
        match operation:
            case "Viewer":
                return {"viewer": {"id": "2", "entity": "tester", "username": "tester", "flags": "{}"}}
            case "UpsertBucket":
                kept = {k: v.get(k) for k in ("name", "displayName", "description", "config")}
                bucket = {"id": "3", **kept, "sweepName": None, "project": project, "historyLineCount": 0}
                return {"upsertBucket": {"bucket": bucket, "inserted": True}}
            case "CreateRunFiles":
                files = [{"name": name, "uploadUrl": f"{self.url}/{name}"} for name in v["files"]]
                return {"createRunFiles": {"runID": "3", "uploadHeaders": [], "files": files}}
            case "ArtifactType":  # of the name that an artifact is to get
                return {"project": None}
            case "CreateArtifact":  # its content is known already, so that nothing more is sent
                made = {"id": "6", "state": "COMMITTED", "artifactSequence": {"id": "7", "latestArtifact": None}}
                return {"createArtifact": {"artifact": made}}
            case "GetDefaultEntity":
                return {"viewer": {"id": "2", "entity": "tester"}}
            case "Runs":
                wanted = set(json.loads(v["filters"])["name"]["$in"]) & set(self.runs())
                runs = {"edges": [{"node": self._run(id), "cursor": id} for id in sorted(wanted)], "pageInfo": END}
                return {"project": {"internalId": "1", "runCount": len(wanted), "readOnly": False, "runs": runs}}
            case "GetProjects":
                return {"models": {"edges": [], "pageInfo": END}}
            case "UpsertView2" | "upsertView":
                return {"upsertView": self._keep(v)}
            case "View":
                known = [view for view in self.views.values() if view["name"] == v["viewName"]]
                return {"project": {"allViews": {"edges": [{"node": view} for view in known]}}}
            case "SpecificReport":
                return {"view": self.views.get(v["reportId"])}
            case "UpsertSweep":
                self.sweep = v["config"]
                project = {"id": "1", "name": v["projectName"], "entity": {"id": "2", "name": "tester"}}
                return {"upsertSweep": {"sweep": {"name": "s1", "project": project}, "configValidationWarnings": []}}
            case "SweepWithRuns":
                sweep = {"id": "4", "name": v["sweep"], "state": "RUNNING", "config": self.sweep, "runs": {"edges": []}}
                return {"project": {"sweep": sweep}}
            case "CreateAgent":
                return {"createAgent": {"agent": {"id": "5"}}}
            case "Heartbeat":
                return {"agentHeartbeat": {"agent": {"id": "5"}, "commands": json.dumps(self._next(v))}}
        return {}

    def _run(self, id: str) -> dict[str, Any]:
        """As the API lists it."""
        texts = dict.fromkeys(("sweepName", "group", "jobType", "commit", "description", "notes"))
        times = {"createdAt": TIME, "heartbeatAt": TIME}
        known = {"id": id, "name": id, "displayName": id, "state": "finished", "projectId": "1"}
        return (
            known
            | texts
            | times
            | {"tags": [], "readOnly": False, "historyLineCount": 1, "user": {"username": "tester"}}
        )

    def _keep(self, v: dict[str, Any]) -> dict[str, Any]:
        """Store a workspace or a report: over the one with its id, else as a new one."""
        project = {"id": "1", "name": v["projectName"], "entityName": v["entityName"]}
        known = self.views.get(v.get("id") or "")
        id = known["id"] if known else base64.b64encode(f"View:{len(self.views)}".encode()).decode()
        shown = {k: v[k] for k in ("type", "name", "displayName", "description", "spec")}
        self.views[id] = {"id": id, **shown, "project": project, "createdAt": TIME, "updatedAt": TIME}
        return {"view": self.views[id], "inserted": known is None}

    def _next(self, heartbeat: dict[str, Any]) -> list[dict[str, Any]]:
        """What an agent does next: nothing while a run of its is under way."""
        if json.loads(heartbeat["runState"]):
            return []
        if not self.trials:
            return [{"type": "exit"}]
        trial, left = self.trials[0], len(self.trials)
        self.trials = self.trials[1:]
        program = yaml.safe_load(self.sweep or "")["program"]
        arguments = {k: {"value": v} for k, v in trial.items()}
        return [{"type": "run", "run_id": f"agent{left}", "program": program, "args": arguments}]

    def _handler(server) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def _take(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                answer: dict[str, Any] = {}
                if not server.knows_key:
                    answer = {"errors": [{"message": "user is not logged in"}]}
                elif self.path == "/graphql":
                    call = json.loads(body)
                    found = re.search(r"(?:query|mutation)\s+(\w+)", call["query"])
                    assert found, call["query"]
                    server.calls.append((found[1], call.get("variables") or {}))
                    if server.refuses(*server.calls[-1]):
                        answer = {"data": None, "errors": [{"message": "permission denied"}]}
                    else:
                        answer = {"data": server.answer(*server.calls[-1])}
                else:
                    server.calls.append((self.path, json.loads(body) if self.path.endswith("stream") else body))
                text = json.dumps(answer).encode()
                self.send_response(200 if server.knows_key else 401)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = _take

            def log_message(self, format: str, *args: Any) -> None:
                """Says nothing."""

        return Handler


@contextmanager
def wandb_server() -> Iterator[WandbServer]:
    server = WandbServer()
    try:
        yield server
    finally:
        server.go_away()
