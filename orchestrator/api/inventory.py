"""Inventory, as a supplier enters it by hand; the items of instances are among it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.api.auth import Reader, Tester
from orchestrator.api.idempotency import DESCRIBED, IdempotencyKey, tell_replay
from orchestrator.api.problems import answers
from orchestrator.api.shapes import Cursor, Limit, PageShape
from orchestrator.api.shown import Shown
from orchestrator.api.surface import Given
from orchestrator.api.texts import Word
from orchestrator.database import idempotency, inventory
from orchestrator.database.models import InventoryItem
from orchestrator.database.session import Session

router = APIRouter(prefix="/v1/inventory", tags=["inventory"])

_OPERATION: Final = "add_inventory"
Status = Literal["active", "inactive", "maintenance"]
Quantity = Annotated[int, Field(ge=0, le=1_000_000)]
Hours = Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class NewItem(BaseModel):
    """What is offered: `quantity` GPUs of a model for `hours_available` hours."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"example": {"gpu_model": "NVIDIA H100", "quantity": 8}},
    )

    gpu_model: Word
    quantity: Quantity = 1
    hours_available: Hours = 0
    status: Status = "active"


class ItemChange(BaseModel):
    """What is absent or null stays as it is."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"status": "maintenance"}}
    )

    gpu_model: Word | None = None
    quantity: Quantity | None = None
    hours_available: Hours | None = None
    status: Status | None = None


class ItemShape(Shown):
    """`instance_id` is the instance that the item stands for, if any."""

    id: UUID
    gpu_model: str
    quantity: int
    hours_available: float
    status: Status
    instance_id: UUID | None
    deleted_at: datetime | None
    created_at: datetime
    updated_at: datetime


@router.get("", operation_id="listInventory")
async def list_inventory(
    caller: Reader,
    given: Given,
    limit: Limit = 50,
    cursor: Cursor = None,
    deleted: bool = False,
) -> PageShape[ItemShape]:
    """The caller's items, newest first; with `deleted` those that can be restored instead."""
    async with given.database.transaction(caller.principal) as session:
        page = await inventory.page(session, limit, cursor, deleted=deleted)
        items = await _told(session, page.rows)
    return PageShape(items=items, next_cursor=page.next_cursor)


@router.post(
    "",
    operation_id="addInventory",
    status_code=201,
    responses={201: {"headers": DESCRIBED}},
)
async def post_item(
    body: NewItem, caller: Tester, given: Given, response: Response, key: IdempotencyKey = None
) -> ItemShape:
    """Add an item that stands for no instance; an onboarded instance has its own."""
    said = body.model_dump()
    async with given.database.transaction(caller.principal) as session:
        told = await idempotency.take(session, key, _OPERATION, said) if key else None
        if told is not None:
            item = await inventory.get(session, UUID(told["item_id"]))
        else:
            item = await inventory.add(session, said)
        if key and told is None:
            await idempotency.answer(session, key, {"item_id": str(item.id)})
        [shape] = await _told(session, [item])
    tell_replay(response, told is not None)
    return shape


@router.patch("/{item_id}", operation_id="changeInventory", responses=answers(409))
async def patch_item(item_id: UUID, body: ItemChange, caller: Tester, given: Given) -> ItemShape:
    """Change an item. Of an instance's, `status` may become `maintenance` or `inactive`, and the hours any."""
    async with given.database.transaction(caller.principal) as session:
        item = await inventory.change(session, item_id, body.model_dump(exclude_none=True))
        [shape] = await _told(session, [item])
    return shape


@router.delete(
    "/{item_id}", operation_id="deleteInventory", status_code=204, responses=answers(409)
)
async def delete_item(item_id: UUID, caller: Tester, given: Given) -> Response:
    """Delete an item; for 30 days it can be restored. An instance's goes with the instance."""
    async with given.database.transaction(caller.principal) as session:
        await inventory.delete(session, item_id)
    return Response(status_code=204)


@router.post("/{item_id}/restore", operation_id="restoreInventory")
async def restore_item(item_id: UUID, caller: Tester, given: Given) -> ItemShape:
    """Bring a deleted item back, as it was."""
    async with given.database.transaction(caller.principal) as session:
        item = await inventory.restore(session, item_id)
        [shape] = await _told(session, [item])
    return shape


async def _told(session: Session, items: list[InventoryItem]) -> list[ItemShape]:
    instance_of = await inventory.instances_of(session, [item.id for item in items])
    rows: list[dict[str, Any]] = [item.model_dump(exclude={"user_id"}) for item in items]
    return [
        ItemShape.model_validate({**row, "instance_id": instance_of.get(row["id"])}) for row in rows
    ]
