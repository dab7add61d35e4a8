"""Trying a destination out: dry, or for real."""

from __future__ import annotations

from api.auth import requires
from api.parameters import DestinationId
from api.preview_bodies import PreviewAnswer, TestAnswer, TryBody
from api.problem_docs import problems
from api.routing import router
from api.services import ServicesDep

routes = router(tag="previews")

OPERATE = [requires("operate")]
PROBLEMS = problems(404, 409, 429)


@routes.post("/v1/destinations/{id}/preview", dependencies=OPERATE, responses=PROBLEMS)
async def preview_destination(id: DestinationId, body: TryBody, services: ServicesDep) -> PreviewAnswer:  # noqa: A002
    """What each mapping would do with a call, a stored event or a stored profile: nothing is sent, nothing is stored.

    Each mapping says whether it takes it, if not which filter, condition (with the part that was false) or scope refused it,
    and the exact request, secrets masked. Without `draft`, the draft is used if there is one, else what is published; the
    answer says which. The idempotency key in the request is made up.
    """
    return PreviewAnswer.of(await services.rehearsals.of(id, body, draft=body.draft))


@routes.post("/v1/destinations/{id}/test", dependencies=OPERATE, responses=PROBLEMS)
async def test_destination(id: DestinationId, body: TryBody, services: ServicesDep) -> TestAnswer:  # noqa: A002
    """Like a preview, and then really sends, once and from here: also while paused, as a draft, and with no source attached.

    Takes as long as the destination, up to a minute. Logged as deliveries of kind `test`, which no sync and no
    reconciliation counts; an outcome that real traffic would retry is not retried.
    """
    with services.test_places.take():
        rehearsed = await services.rehearsals.of(id, body, draft=body.draft)
        tested = await services.testing.send(
            rehearsed.mappings, rehearsed.declaration, rehearsed.compiled, rehearsed.subject, rehearsed.secrets
        )
    return TestAnswer.of(rehearsed, tested)
