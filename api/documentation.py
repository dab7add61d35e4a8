"""The page at `/docs`: Swagger UI, from files of an installed package, so that it works with no way out to the internet."""

from __future__ import annotations

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse
from starlette.exceptions import HTTPException

FILES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
CACHE_SECONDS = 86_400  # they change with an upgrade at most

_FOLDER = Path(fastapi_offline.__file__).parent / "static"


def serve_documentation(app: FastAPI) -> None:
    """Adds `/docs` and the files it needs, and sends `/` there. No key is needed to read them; the page asks for one to try a route."""

    async def page() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url="openapi.json",
            title=f"{app.title} API",
            swagger_js_url="docs/swagger-ui-bundle.js",
            swagger_css_url="docs/swagger-ui.css",
            swagger_favicon_url="docs/favicon.png",
            # Swagger UI would otherwise show the document to a validator on the internet.
            swagger_ui_parameters={"validatorUrl": None},
        )

    async def file(name: str) -> FileResponse:
        if name not in FILES:
            raise HTTPException(404)
        headers = {"Cache-Control": f"public, max-age={CACHE_SECONDS}"}
        return FileResponse(_FOLDER / name, media_type=FILES[name], headers=headers)

    async def root() -> RedirectResponse:
        # Relative, so that it holds behind a proxy that serves us below a path.
        return RedirectResponse("docs")

    app.add_api_route("/", root, include_in_schema=False)
    app.add_api_route("/docs", page, include_in_schema=False)
    app.add_api_route("/docs/{name}", file, include_in_schema=False)
