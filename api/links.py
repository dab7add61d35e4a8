"""From a workflow to its page in the Temporal Web UI."""

from __future__ import annotations

from urllib.parse import quote

from pydantic import BaseModel


class WorkflowLink(BaseModel):
    """`url` opens the run in the Temporal Web UI, or the workflow's latest one while the run is not known."""

    id: str
    run_id: str | None
    url: str


class WorkflowLinks:
    def __init__(self, ui_url: str, namespace: str) -> None:
        self._base = f"{ui_url.rstrip('/')}/namespaces/{quote(namespace, safe='')}/workflows"

    def link(self, workflow_id: str, run_id: str | None) -> WorkflowLink:
        url = f"{self._base}/{quote(workflow_id, safe='')}"
        if run_id:
            url = f"{url}/{quote(run_id, safe='')}/history"
        return WorkflowLink(id=workflow_id, run_id=run_id or None, url=url)
