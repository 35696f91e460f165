"""The public listing and its badges: who is in it, what it tells, and what it must not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from orchestrator.database import results
from orchestrator.database.session import SERVICE
from orchestrator.domain.instance_status import InstanceStatus
from tests.api.conftest import Api, Supplier, application, connect
from tests.api.rows import CARD, HASH, NOW, Ended, end, execute, submit
from tests.conftest import Databases

Problem = Callable[[httpx.Response, int, str], None]
PATH = "/v1/listing"


@pytest.fixture
async def api(databases: Databases) -> AsyncIterator[Api]:
    """A listing that is read anew each time."""
    app = application(databases.api, server={"listing_seconds": 0})
    async with app.router.lifespan_context(app), connect(app) as client:
        yield Api(databases, app, client)


async def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    """As nobody."""
    answer = await api.client.get(PATH, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def test_anybody_reads_what_was_verified_and_nothing_else(
    api: Api, databases: Databases, supplier: Supplier
) -> None:
    """Exactly these words of an instance, without a login: no address, no supplier, no name of the provider's."""
    made = await supplier.onboard(ssh_host="secret.example", ssh_user="hidden", machine_id="m-777")
    end(databases, made["id"], Ended(timedelta(days=3), "failed", "gpu_mismatch"))
    end(databases, made["id"], Ended(timedelta(days=2), "inconclusive", "gpu_busy", result=None))
    end(databases, made["id"], Ended(timedelta(days=100)))
    end(databases, made["id"])
    execute(databases, "UPDATE gpu_instances SET location = 'Oslo', price_per_hour = 2.5")
    (item,) = await listed(api)
    assert item == {
        "id": made["id"],
        "gpu_name": CARD,
        "gpu_count": 8,
        "location": "Oslo",
        "price_per_hour": 2.5,
        "throughput_images_per_sec": 2450.0,
        "throughput_low": 2440.0,
        "throughput_high": 2460.0,
        "compute_miles_per_hour": 2450.0 * 1.5 * 3600,
        "power_draw_watts": 612.5,
        "tests_90d": 2,
        "passed_90d": 1,
        "measured_at": item["measured_at"],
        "conditions": {
            "profile": "quick",
            "precision": "amp-bf16",
            "batch_size": 32,
            "image_size": 224,
            "mode": "cuda-graph",
            "torch_version": "2.13.0",
            "driver_version": "580.1",
            "cuda_version": "13.0",
            "configuration_hash": HASH,
        },
    }
    assert datetime.fromisoformat(item["measured_at"]) == NOW - timedelta(hours=1)
    one = await api.client.get(f"{PATH}/{made['id']}")
    assert one.json() == item
    for private in ("secret.example", "hidden", "m-777", "m-1", str(supplier.user_id)):
        assert private not in one.text


@pytest.mark.parametrize("why", ["untested", "unlisted", "failed since", "submitted", "moved"])
async def test_what_is_not_verified_is_not_listed(
    api: Api, databases: Databases, supplier: Supplier, is_problem: Problem, why: str
) -> None:
    """What we did not measure, what failed, or what its supplier keeps back is neither listed nor told from nothing."""
    made = await supplier.onboard()
    if why in ("unlisted", "failed since", "moved"):
        end(databases, made["id"], Ended(timedelta(days=1)))
        assert len(await listed(api)) == 1
    if why == "unlisted":
        execute(databases, "UPDATE gpu_instances SET listed = false")
    elif why == "moved":
        execute(databases, "UPDATE gpu_instances SET ssh_host = 'elsewhere.example'")
    elif why == "failed since":
        end(databases, made["id"], Ended(state="failed", error_code="gpu_mismatch"))
    elif why == "submitted":
        submit(databases, made["id"], timedelta(hours=1))
        execute(databases, "UPDATE gpu_instances SET status = 'active', tested_at = now()")
    assert await listed(api) == []
    for path in (f"{PATH}/{made['id']}", f"{PATH}/{made['id']}/badge.svg"):
        answer = await api.client.get(path)
        is_problem(answer, 404, "not_found")
        assert answer.headers["access-control-allow-origin"] == "*"


async def test_a_test_in_progress_takes_nothing_from_the_listing(
    api: Api, databases: Databases, supplier: Supplier
) -> None:
    """What was verified stays so while it is tested again; what was not is not listed for being tested."""
    proven, failed = await supplier.onboard(), await supplier.onboard()
    end(databases, proven["id"])
    end(databases, failed["id"], Ended(timedelta(days=1)))
    end(databases, failed["id"], Ended(state="failed", error_code="gpu_mismatch"))
    for made in (proven, failed):
        answer = await supplier.client.post(f"/v1/instances/{made['id']}/runs")
        assert answer.status_code == 202
    assert [item["id"] for item in await listed(api)] == [proven["id"]]


async def test_pages_of_the_listing_hold_each_once(
    api: Api, databases: Databases, supplier: Supplier, other: Supplier, is_problem: Problem
) -> None:
    """Of all suppliers, the latest tested first, those that were tested at one moment too."""
    made = []
    for who, hours in ((supplier, 4), (other, 1), (supplier, 1), (other, 2), (supplier, 3)):
        instance = (await who.onboard())["id"]
        end(databases, instance, Ended(timedelta(hours=hours)))
        made.append((-hours, instance))
    seen, query = [], {"limit": "2"}
    while True:
        page = (await api.client.get(PATH, params=query)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == [instance for _, instance in sorted(made, reverse=True)]
    is_problem(await api.client.get(PATH, params={"cursor": "x"}), 400, "invalid_input")


async def test_the_end_of_a_test_lists_an_instance(
    api: Api, databases: Databases, supplier: Supplier
) -> None:
    """A worker's own end of a run stamps instance and result with one time, which is the listing's."""
    made = await supplier.onboard()
    end(databases, made["id"], Ended(state="inconclusive", error_code="gpu_busy"))
    async with databases.worker.transaction(SERVICE) as session:
        active = InstanceStatus("active", "completed")
        await results.settle_instance(session, made["id"], active, tested=True, facts={})
    assert await listed(api) == []  # nothing of it passed yet, whatever the status says
    end(databases, made["id"], Ended(timedelta(0)))
    (item,) = await listed(api)
    assert item["gpu_name"] == CARD


async def test_a_badge_is_a_picture_that_needs_nothing(
    api: Api, databases: Databases, supplier: Supplier
) -> None:
    """An SVG for five minutes, for pages of any origin; a machine's hostile name is text in it and in the listing."""
    made = await supplier.onboard()
    hostile = '"/><script>alert(1)</script>\u202e\x1b[31m H100'
    end(databases, made["id"], Ended(result={"measured_gpu_name": hostile}))
    answer = await api.client.get(
        f"{PATH}/{made['id']}/badge.svg", headers={"Origin": "https://a.example"}
    )
    assert answer.headers["content-type"].startswith("image/svg+xml")
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.headers["x-content-type-options"] == "nosniff"
    root = ElementTree.fromstring(answer.text)
    assert [each.tag for each in root.iter() if "script" in each.tag] == []
    assert "Harborx verified" in answer.text
    assert "2,450 img/s" in answer.text
    (item,) = await listed(api)
    assert item["gpu_name"] == '"/><script>alert(1)</script>\ufffd H100'


async def test_a_processor_has_a_name_too(
    api: Api, databases: Databases, supplier: Supplier
) -> None:
    """A machine that was measured without a GPU is listed as a CPU."""
    made = await supplier.onboard(gpu_name="CPU")
    end(databases, made["id"], Ended(result={"measured_gpu_name": None, "device": "cpu"}))
    assert [item["gpu_name"] for item in await listed(api)] == ["CPU"]
