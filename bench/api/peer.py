"""
The peer: FastAPI and SQLModel as their documentation has one write it, over a table of its own with the same columns.

GET reads one row by its id and owner into a response model with the fields of our GET /v1/runs/{id}; POST validates the
same body, inserts one row and commits. Who is asking is told by the same token, which PyJWT verifies in a dependency.
One worker, with uvicorn's own choice of event loop and parser.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, Final, cast
from uuid import UUID, uuid4

import jwt
import uvicorn
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from sqlalchemy import Column, make_url
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import create_async_engine
from sqlmodel import Field, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orchestrator.domain.options import Options

TABLE: Final = "peer_runs"


class RunBase(SQLModel):
    instance_id: UUID
    requested_by: str = "api"
    options: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    state: str = "queued"
    finished: bool = False
    attempt: int = 0
    worker: str | None = None
    last_event_seq: int = 0
    schedule_id: UUID | None = None
    due_at: datetime | None = None
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    not_before: datetime | None = None
    claimed_at: datetime | None = None
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None


class PeerRun(RunBase, table=True):
    __tablename__ = TABLE

    id: UUID = Field(default_factory=uuid4, primary_key=True)
    user_id: UUID = Field(index=True)
    error: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))
    result: dict[str, Any] | None = Field(default=None, sa_column=Column(JSONB))


class PeerRunPublic(RunBase):
    id: UUID
    error: dict[str, Any] | None = None
    result: dict[str, Any] | None = None


def create_app(url: str, secret: str) -> FastAPI:
    engine = create_async_engine(make_url(url).set(drivername="postgresql+psycopg"), pool_size=10)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.tables[TABLE].create, checkfirst=True)
        yield
        await engine.dispose()

    app = FastAPI(lifespan=lifespan)
    bearer = HTTPBearer()

    async def session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine, expire_on_commit=False) as opened:
            yield opened

    async def user(given: Annotated[HTTPAuthorizationCredentials, Depends(bearer)]) -> UUID:
        try:
            claims = jwt.decode(
                given.credentials, secret, algorithms=["HS256"], audience="authenticated"
            )
        except jwt.InvalidTokenError as error:
            raise HTTPException(401) from error
        return UUID(claims["sub"])

    Opened = Annotated[AsyncSession, Depends(session)]  # noqa: N806  a type
    User = Annotated[UUID, Depends(user)]  # noqa: N806

    @app.get("/runs/{run_id}", response_model=PeerRunPublic)
    async def get_run(run_id: UUID, user_id: User, session: Opened) -> PeerRun:
        statement = select(PeerRun).where(PeerRun.id == run_id, PeerRun.user_id == user_id)
        run = (await session.exec(statement)).one_or_none()
        if run is None:
            raise HTTPException(404)
        return run

    @app.post("/instances/{instance_id}/runs", response_model=PeerRunPublic, status_code=202)
    async def post_run(
        instance_id: UUID, user_id: User, session: Opened, body: Options = Options()
    ) -> PeerRun:
        run = PeerRun(user_id=user_id, instance_id=instance_id, options=body.model_dump())
        session.add(run)
        await session.commit()
        return run

    return app


class _Announcing(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        listening = cast("asyncio.Server", self.servers[0])
        print(json.dumps({"port": listening.sockets[0].getsockname()[1]}), flush=True)


if __name__ == "__main__":
    url, secret = sys.argv[1:]
    _Announcing(
        uvicorn.Config(create_app(url, secret), port=0, log_level="warning", access_log=False)
    ).run()
