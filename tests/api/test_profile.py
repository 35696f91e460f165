"""The caller's profile and the company behind it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.api.conftest import Supplier

Problem = Callable[[httpx.Response, int, str], None]
COMPANY: dict[str, Any] = {
    "company_name": "  Example GPU ",
    "legal_business_name": "Example GPU Ltd.",
    "contact_email": "desk@gpu.example",
    "contact_phone": "+44 20 7946 0000",
    "business_address": "1 Example Street\r\nLondon\n",
    "authorized_signatory": "Alex Exämple",
    "signatory_title": "Director",
}


async def test_a_company_is_put_on_record_and_replaced(supplier: Supplier, other: Supplier) -> None:
    """What is put is what is read, trimmed, by its own supplier only; putting again replaces all of it."""
    path = "/v1/profile/supplier"
    described = {**COMPANY, "infrastructure_description": "Two racks.\nOne more soon."}
    answer = await supplier.client.put(path, json=described)
    assert answer.status_code == 200, answer.text
    expected = {
        **described,
        "company_name": "Example GPU",
        "business_address": "1 Example Street\nLondon",
    }
    assert answer.json() == expected
    profile = (await supplier.client.get("/v1/profile")).json()
    assert profile["supplier"] == expected
    assert (profile["id"], profile["email"]) == (str(supplier.user_id), supplier.email)
    assert profile["created_at"] is not None
    assert (await other.client.get("/v1/profile")).json()["supplier"] is None

    await other.client.put(path, json={**COMPANY, "company_name": "Another"})
    await supplier.client.put(path, json=COMPANY)
    replaced = (await supplier.client.get("/v1/profile")).json()["supplier"]
    assert replaced == expected | {"infrastructure_description": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"company_name": "   "},
        {"company_name": "a\nb"},
        {"contact_email": "nowhere"},
        {"contact_phone": "1" * 51},
        {"business_address": " \n "},
        {"business_address": "a\0b"},
        {"business_address": "a\x1b[31mb"},
        {"business_address": "x" * 1001},
        {"infrastructure_description": "x" * 4001},
        {"colour": "red"},
    ],
    ids=str,
)
async def test_what_is_no_company_is_refused(
    supplier: Supplier, is_problem: Problem, wrong: dict[str, str]
) -> None:
    """Empty, overlong and unprintable texts are refused by name, and nothing is stored."""
    answer = await supplier.client.put("/v1/profile/supplier", json={**COMPANY, **wrong})
    is_problem(answer, 422, "invalid_input")
    assert [each["pointer"] for each in answer.json()["errors"]] == list(wrong)
    assert (await supplier.client.get("/v1/profile")).json()["supplier"] is None


async def test_reading_is_not_writing(supplier: Supplier, is_problem: Problem) -> None:
    """A key with the scope read sees the profile and can't change it."""
    headers = {"x-api-key": await supplier.key("read")}
    client = supplier.api.client
    assert (await client.get("/v1/profile", headers=headers)).status_code == 200
    answer = await client.put("/v1/profile/supplier", json=COMPANY, headers=headers)
    is_problem(answer, 403, "not_allowed")
