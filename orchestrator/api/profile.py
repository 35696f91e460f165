"""The caller's profile, and the company behind it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.surface import Given
from orchestrator.api.texts import Lines, Word
from orchestrator.database import accounts

router = APIRouter(prefix="/v1/profile", tags=["accounts"])


class Supplier(BaseModel):
    """The company behind a supplier: who signs for it and how to reach it."""

    model_config = ConfigDict(
        extra="forbid",
        from_attributes=True,
        json_schema_extra={
            "example": {
                "company_name": "Example GPU",
                "legal_business_name": "Example GPU Ltd.",
                "contact_email": "desk@gpu.example",
                "contact_phone": "+44 20 7946 0000",
                "business_address": "1 Example Street\nLondon",
                "authorized_signatory": "Alex Example",
                "signatory_title": "Director",
                "infrastructure_description": "Two racks of 8 x H100.",
            }
        },
    )

    company_name: Word
    legal_business_name: Word
    contact_email: Annotated[Word, Field(pattern=r"^[^@\s]{1,64}@[^@\s]{1,190}$")]
    contact_phone: Annotated[Word, Field(max_length=50)]
    business_address: Annotated[Lines, Field(max_length=1000)]
    authorized_signatory: Word
    signatory_title: Word
    infrastructure_description: Lines | None = None


class ProfileShape(BaseModel):
    """Who is signed in; `supplier` is null until the company is on record."""

    id: UUID
    email: str
    created_at: datetime
    supplier: Supplier | None


@router.get("", operation_id="getProfile")
async def get_profile(caller: Reader, given: Given) -> ProfileShape:
    """Who is signed in."""
    async with given.database.transaction(caller.principal) as session:
        profile = await accounts.profile(session)
        company = await accounts.company(session)
    return ProfileShape.model_validate(
        {
            "id": profile.id,
            "email": profile.email,
            "created_at": profile.created_at,
            "supplier": company and company.model_dump(include=set(Supplier.model_fields)),
        }
    )


@router.put("/supplier", operation_id="putSupplierProfile")
async def put_supplier(body: Supplier, caller: Tester, given: Given) -> Supplier:
    """Put the company on record, or replace what is."""
    async with given.database.transaction(caller.principal) as session:
        await accounts.put_company(session, body.model_dump())
    return body
