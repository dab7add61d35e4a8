"""Prepare: what is decided about a sync, and with how little."""

from __future__ import annotations

import asyncio

from temporalio.testing import ActivityEnvironment

from activities.messages import Plan, PrepareInput
from activities.prepare import Prepare
from activities.published import PublishedDestinations
from connectors.catalog import load_catalog
from storage.database import Database
from storage.profiles import Profiles
from storage.revisions import Revisions
from storage.syncs import Syncs
from tests.builders import a_spec, publish


async def test_planning_many_syncs_of_a_new_revision_needs_no_more_connections_than_there_are(
    database_url: str,
) -> None:
    database = Database(database_url, pool_size=2)
    try:
        await publish(database, "crm", a_spec())
        profile_ids = [f"u{number}" for number in range(6)]
        for profile_id in profile_ids:
            await Profiles(database).patch(profile_id, {"email": "a@b.c"})
        prepare = Prepare(Syncs(database), PublishedDestinations(Revisions(database), load_catalog()))

        async def plan(profile_id: str) -> Plan:
            request = PrepareInput(destination_id="crm", profile_id=profile_id)
            return await ActivityEnvironment().run(prepare.prepare, request)

        plans = await asyncio.gather(*map(plan, profile_ids))
        assert [len(each.deliveries) for each in plans] == [1] * 6
    finally:
        await database.close()
