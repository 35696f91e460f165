"""Inventory items: what a supplier offers. One that stands for an instance comes and goes with it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from uuid import UUID

from sqlalchemy import insert, update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.database.models import Instance, InventoryItem
from orchestrator.database.paging import Page, newest_first
from orchestrator.database.session import NOW
from orchestrator.domain.errors import InventoryOfInstance, NotFound


async def page(
    session: AsyncSession, limit: int, cursor: str | None, *, deleted: bool
) -> Page[InventoryItem]:
    """Those that are there, or the deleted ones."""
    gone = col(InventoryItem.deleted_at)
    statement = select(InventoryItem).where(gone.is_not(None) if deleted else gone.is_(None))
    return await newest_first(session, statement, InventoryItem, limit, cursor)


async def get(session: AsyncSession, item_id: UUID) -> InventoryItem:
    """The item, also if it is deleted. Raises `NotFound`."""
    statement = select(InventoryItem).where(InventoryItem.id == item_id)
    found = (await session.exec(statement)).one_or_none()
    if found is None:
        raise NotFound(f"No inventory item {item_id}.")
    return found


async def instances_of(session: AsyncSession, item_ids: Collection[UUID]) -> dict[UUID, UUID]:
    """The instance of each item that stands for one."""
    statement = select(Instance.gpu_inventory_id, Instance.id).where(
        col(Instance.gpu_inventory_id).in_(item_ids)
    )
    return {item: instance for item, instance in await session.exec(statement) if item is not None}


async def add(session: AsyncSession, said: dict[str, Any]) -> InventoryItem:
    """A new item of the caller; keys of `said` are `InventoryItem`'s."""
    statement = insert(InventoryItem).values(**said).returning(InventoryItem)
    item: InventoryItem = (await session.exec(statement)).scalar_one()
    return item


async def change(session: AsyncSession, item_id: UUID, said: dict[str, Any]) -> InventoryItem:
    """
    The item with what is `said` of it. Raises `NotFound`, and `InventoryOfInstance` for what is the instance's
    or its tests' to say; to say again what is so already changes nothing and is no error.
    """
    item = await _held(session, item_id)
    news = {name: value for name, value in said.items() if getattr(item, name) != value}
    if not news:
        return item
    if await instances_of(session, [item_id]):
        if news.keys() & {"gpu_model", "quantity"}:
            raise InventoryOfInstance("Its gpu_model and quantity are the instance's.")
        if news.get("status") == "active":
            raise InventoryOfInstance("Its status becomes active by a test that passes.")
    return await _update(session, item_id, news)


async def delete(session: AsyncSession, item_id: UUID) -> None:
    """It can be restored until it is forgotten. Raises `NotFound` and `InventoryOfInstance`."""
    await _held(session, item_id)
    if await instances_of(session, [item_id]):
        raise InventoryOfInstance()
    await _update(session, item_id, {"deleted_at": NOW})


async def restore(session: AsyncSession, item_id: UUID) -> InventoryItem:
    """Deleted or not, it is there afterwards. Raises `NotFound` for one that is unknown or forgotten."""
    item = await get(session, item_id)
    return (
        item if item.deleted_at is None else await _update(session, item_id, {"deleted_at": None})
    )


async def _held(session: AsyncSession, item_id: UUID) -> InventoryItem:
    """The item, not deleted, until the transaction ends. Raises `NotFound`."""
    statement = (
        select(InventoryItem)
        .where(InventoryItem.id == item_id, col(InventoryItem.deleted_at).is_(None))
        .with_for_update()
    )
    found = (await session.exec(statement)).one_or_none()
    if found is None:
        raise NotFound(f"No inventory item {item_id}.")
    return found


async def _update(session: AsyncSession, item_id: UUID, values: dict[str, Any]) -> InventoryItem:
    statement = (
        update(InventoryItem)
        .where(col(InventoryItem.id) == item_id)
        .values(**values)
        .returning(InventoryItem)
        .execution_options(populate_existing=True)
    )
    updated: InventoryItem | None = (await session.exec(statement)).scalar_one_or_none()
    if updated is None:
        raise NotFound(f"No inventory item {item_id}.")
    return updated
