"""The Temporal codec protocol: lets the Web UI and the CLI show encrypted payloads to those who may see them.

A key with the scope `operate` is let in, or the Origin of a Web UI that the operator trusts. An Origin can
be forged outside a browser: trust one only where those who reach the API may read the payloads anyway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Body, Request, Response

from api.auth import Guard
from api.problem_docs import problems
from api.routing import open_router
from api.services import PayloadCodec, Services, ServicesDep
from domain.errors import NotFound

routes = open_router(tag="codec")

_operate = Guard("operate")
Payloads = Annotated[dict[str, Any], Body(examples=[{"payloads": [{"metadata": {"encoding": "…"}, "data": "…"}]}])]


@routes.post("/codec/encode", responses=problems(401, 403, 404))
async def encode(request: Request, response: Response, body: Payloads, services: ServicesDep) -> dict[str, Any]:
    return await _convert(request, response, services, lambda codec: codec.encode(body))


@routes.post("/codec/decode", responses=problems(401, 403, 404))
async def decode(request: Request, response: Response, body: Payloads, services: ServicesDep) -> dict[str, Any]:
    return await _convert(request, response, services, lambda codec: codec.decode(body))


@routes.options("/codec/encode", include_in_schema=False)
@routes.options("/codec/decode", include_in_schema=False)
async def preflight(request: Request, services: ServicesDep) -> Response:
    """Browsers ask before they send JSON across origins."""
    return Response(status_code=204, headers=_cors(request, services))


async def _convert(
    request: Request, response: Response, services: Services, convert: Callable[[PayloadCodec], dict[str, Any]]
) -> dict[str, Any]:
    response.headers.update(cors := _cors(request, services))
    if not cors:
        await _operate.check(request)
    if services.codec is None:
        raise NotFound("payloads are not encrypted here: SLUICE_PAYLOAD_KEYS is not set")
    return convert(services.codec)


def _cors(request: Request, services: Services) -> dict[str, str]:
    """For exactly the trusted origins; none otherwise, so that a browser keeps the answer from the page."""
    origin = request.headers.get("origin", "")
    if services.codec is None or origin not in services.codec.trusted_origins:
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Methods": "POST, OPTIONS",
        "Access-Control-Allow-Headers": "Authorization, Content-Type, X-Namespace",
        "Access-Control-Max-Age": "600",
        "Vary": "Origin",
    }
